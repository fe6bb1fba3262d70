"""Seconds per training step, seconds and peak memory per restored picture, and synthesised pairs per second.

python benchmarks/speed.py                     all three tables
python benchmarks/speed.py steps restoring     some of them
python benchmarks/speed.py restoring --variant unet --size 1280x720

Medians after a warm-up, each restoring row in a process of its own. Say on what machine.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

from unet_deblur_tf import cli
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.recipes import RECIPES
from unet_deblur_tf.variants import NORMS, VARIANTS

cli.quiet_tensorflow()

PRECISIONS = ("float32", "mixed_bfloat16")
TABLES = ("steps", "restoring", "data")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"{', '.join(TABLES)} (default: all)")
    parser.add_argument("--variant", choices=VARIANTS, nargs="*", default=list(VARIANTS))
    parser.add_argument("--norm", choices=NORMS, default=RECIPES["default"]["norm"])
    parser.add_argument("--batch-size", type=cli.positive_int, default=4)
    parser.add_argument("--crop", type=cli.positive_int, default=224)
    parser.add_argument("--size", default="1280x720", help="of the restored picture (default: %(default)s)")
    parser.add_argument("--repeat", type=cli.positive_int, default=5)
    parser.add_argument("--one", help=argparse.SUPPRESS)  # a row in its own process: variant,precision
    return parser.parse_args()


def median_seconds(function, repeat):
    function()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def network(variant, precision, norm):
    import keras

    from unet_deblur_tf.models import build

    keras.config.set_dtype_policy(precision)
    style = {key: RECIPES["default"][key] for key in ("head", "activation")}
    return build(variant, norm=norm, **style)


def step_seconds(variant, precision, arguments):
    """Forward, loss, backward and AdamW, as `train.py` compiles them."""
    import numpy as np

    from unet_deblur_tf import training

    model = network(variant, precision, arguments.norm)
    recipe = RECIPES["default"]
    settings = argparse.Namespace(epochs=100, steps_per_epoch=100, **recipe)
    training.compile_model(model, settings)
    pictures = np.random.default_rng(0).random((arguments.batch_size, arguments.crop, arguments.crop, 3), np.float32)
    return median_seconds(lambda: model.train_on_batch(pictures, pictures), arguments.repeat)


def restoring_row(variant, precision, arguments):
    """Median seconds and the process's peak memory for one picture through the exported SavedModel."""
    from pathlib import Path

    import numpy as np
    import tensorflow as tf

    from unet_deblur_tf import serving

    width, height = map(int, arguments.size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        serving.export(network(variant, precision, arguments.norm), Path(folder) / "1")
        serve = tf.saved_model.load(f"{folder}/1").signatures["serving_default"]
        picture = tf.constant(np.random.default_rng(0).random((1, height, width, 3), np.float32))
        seconds = median_seconds(lambda: serve(image=picture)["restored"].numpy(), arguments.repeat)
    # Linux: the peak since this process began. `ru_maxrss` would include that of the process it was forked from.
    (peak,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return seconds, int(peak.split()[1]) / 1024**2  # KiB to GiB


def in_own_process(variant, precision, arguments):
    command = [sys.executable, __file__, "--one", f"{variant},{precision}", "--norm", arguments.norm]
    command += ["--size", arguments.size, "--repeat", str(arguments.repeat)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def data_rates(repeat=24):
    """Pairs per second that one thread synthesises; what the pipeline serves is for `input_pipeline.py`."""
    import numpy as np

    from unet_deblur_tf.data.scenes import scene
    from unet_deblur_tf.data.synthesis import DIFFICULTIES, blurred_pair, canvas_size

    for name, difficulty in DIFFICULTIES.items():
        count = repeat if difficulty.width < 1000 else 4
        start = time.perf_counter()
        for number in range(count):
            rng = np.random.default_rng(number)
            canvas = canvas_size(difficulty)
            blurred_pair(rng, scene(rng, *canvas), scene(rng, *canvas), difficulty)
        yield f"synthesised, {name} {difficulty.width}x{difficulty.height}", count / (time.perf_counter() - start)


def main(arguments):
    if arguments.one:
        print(json.dumps(restoring_row(*arguments.one.split(","), arguments)))
        return
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, norm {arguments.norm}")
    tables = arguments.tables or TABLES
    if unknown := set(tables) - set(TABLES):
        raise InputError(f"No such table: {', '.join(unknown)}; there are {', '.join(TABLES)}")
    if "steps" in tables:
        print(f"\nseconds per training step, batch {arguments.batch_size}, {arguments.crop}x{arguments.crop}")
        print(f"{'':18}" + "".join(f"{precision:>16}" for precision in PRECISIONS))
        for variant in arguments.variant:
            row = [step_seconds(variant, precision, arguments) for precision in PRECISIONS]
            print(f"{variant:18}" + "".join(f"{seconds:16.3f}" for seconds in row), flush=True)
    if "restoring" in tables:
        print(f"\nseconds and peak memory per {arguments.size} picture, exported SavedModel")
        print(f"{'':18}" + "".join(f"{precision:>20}" for precision in PRECISIONS))
        for variant in arguments.variant:
            cells = [in_own_process(variant, precision, arguments) for precision in PRECISIONS]
            print(f"{variant:18}" + "".join(f"{f'{s:.2f} s {g:.1f} GiB':>20}" for s, g in cells), flush=True)
    if "data" in tables:
        print("\npairs per second")
        for label, rate in data_rates():
            print(f"{label:40}{rate:10.1f}", flush=True)


if __name__ == "__main__":
    cli.run(main, parse_arguments())
