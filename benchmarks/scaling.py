"""What a second worker brings: crops a second of one process on one core, and of two on a core each.

python benchmarks/scaling.py [--variant lite] [--batch-size 4] [--crop 160]

Each process has one core to itself, and two exchange their gradients over loopback. That shows what
MultiWorkerMirroredStrategy and the shared memory bus take; it cannot show a network. What one would take is
worked out below the table: a ring of N workers sends 2 (N - 1) / N times the bytes of all gradients through
each worker's link for every step, here taken not to overlap with anything.
"""

import argparse
import itertools
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import time

from unet_deblur_tf.commands import flags
from unet_deblur_tf.configs import RECIPES, VARIANTS
from unet_deblur_tf.utils import scripts

GOPRO_PAIRS = 2103
WORKERS = (1, 2, 4, 8, 16, 32)
LINKS = {"1 Gbit/s": 1e9 / 8, "25 Gbit/s": 25e9 / 8}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", choices=VARIANTS, nargs="*", default=["lite", "unet"])
    parser.add_argument(
        "--batch-size", type=flags.positive_int, default=4, help="of each worker (default: %(default)s)"
    )
    parser.add_argument("--crop", type=flags.positive_int, default=160)
    parser.add_argument("--steps", type=flags.positive_int, default=20, help="timed, after five more")
    parser.add_argument("--repeat", type=flags.positive_int, default=3)
    parser.add_argument("--one", help=argparse.SUPPRESS)  # in its own process: variant;core
    return parser.parse_args()


def one(arguments):
    """Seconds per step and bytes of gradients, as this worker sees them."""
    variant, core = arguments.one.split(";")
    os.sched_setaffinity(0, {int(core)})
    scripts.quiet_tensorflow()
    import keras
    import numpy as np
    import tensorflow as tf

    from unet_deblur_tf.models.unet import build
    from unet_deblur_tf.training import compiling, distribution, train

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    strategy = distribution.strategy()
    devices = strategy.num_replicas_in_sync
    recipe = {**RECIPES["default"], "batch_size": devices * arguments.batch_size}
    settings = train.Settings(
        variant=variant, data="", blur="", difficulty="", epochs=1, steps_per_epoch=arguments.steps + 5,
        crop=arguments.crop, precision="float32", seed=0, **recipe,
    )  # fmt: skip
    with strategy.scope():
        network = build(variant, norm=settings.norm, head=settings.head, activation=settings.activation)
        model = compiling.prepare_for_fit(network, devices)
        compiling.compile_model(model, settings)
    crops = np.random.default_rng(0).random((2, arguments.batch_size, arguments.crop, arguments.crop, 3), "float32")
    dataset = distribution.distributed(strategy, lambda share: tf.data.Dataset.from_tensors(tuple(crops)).repeat())
    ends = []
    watch = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: ends.append(time.perf_counter()))
    model.fit(dataset, epochs=1, steps_per_epoch=settings.steps_per_epoch, callbacks=[watch], shuffle=False, verbose=0)
    steps = [later - earlier for earlier, later in itertools.pairwise(ends[4:])]
    size = sum(4 * weight.value.numpy().size for weight in network.trainable_weights)
    print(json.dumps({"seconds": statistics.median(steps), "bytes": size}))


def measure(arguments, variant, workers):
    """The first worker's figures."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(workers)]
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    command = [sys.executable, __file__, "--batch-size", str(arguments.batch_size), "--crop", str(arguments.crop)]
    command += ["--steps", str(arguments.steps)]
    processes = []
    for index in range(workers):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(task)} if workers > 1 else os.environ
        processes.append(
            subprocess.Popen(
                [*command, "--one", f"{variant};{index}"], env=environment, stdout=subprocess.PIPE, text=True
            )
        )
    outputs = [process.communicate()[0] for process in processes]
    return json.loads(outputs[0].splitlines()[-1])


def main(arguments):
    if arguments.one:
        one(arguments)
        return
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("Two cores are needed")
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {arguments.batch_size} crops of "
          f"{arguments.crop}x{arguments.crop} per worker and step, float32, medians of {arguments.repeat}")  # fmt: skip
    print(f"\n{'':10}{'1 worker':>22}{'2 workers':>22}{'efficiency':>12}")
    for variant in arguments.variant:
        # In turn, so that what else the machine does falls on both alike.
        rows = [[measure(arguments, variant, workers) for workers in (1, 2)] for _ in range(arguments.repeat)]
        alone, both = (statistics.median(row[index]["seconds"] for row in rows) for index in (0, 1))
        speeds = arguments.batch_size / alone, 2 * arguments.batch_size / both
        cells = [f"{seconds:.3f} s, {speed:.2f}/s" for seconds, speed in zip((alone, both), speeds)]
        print(f"{variant:10}{cells[0]:>22}{cells[1]:>22}{speeds[1] / speeds[0] / 2:12.0%}", flush=True)
        size = rows[0][0]["bytes"]
        print(f"\nOn paper, {variant}: seconds per epoch of GoPro's {GOPRO_PAIRS} pairs with steps of {alone:.3f} s, "
              f"{size / 1e6:.1f} MB of gradients")  # fmt: skip
        print(f"{'workers':>10}" + "".join(f"{link:>14}" for link in LINKS))
        for workers in WORKERS:
            steps = GOPRO_PAIRS / (workers * arguments.batch_size)
            exchange = [2 * (workers - 1) / workers * size / speed for speed in LINKS.values()]
            print(f"{workers:10}" + "".join(f"{steps * (alone + seconds):14.0f}" for seconds in exchange))
        print()


if __name__ == "__main__":
    scripts.run(main, parse_arguments())
