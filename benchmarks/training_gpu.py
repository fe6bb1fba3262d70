"""Seconds of a training step on a GPU, Keras on JAX against PyTorch, where TensorFlow need not be installed.

KERAS_BACKEND=jax python benchmarks/training_gpu.py --variants unet concat_se --output reports/training_gpu.md

As in training.py: forward, 1 - SSIM + L1, backward, AdamW with clipped gradients, of networks with batch norm, the same
random weights and crops for all. The first step's loss is compared between the two. Times are medians of bursts of
steps, which neither waits for one by one. The share of the peak is that of a matrix product in PyTorch, 8192x8192 in
bfloat16; a step counts as three times the FLOPs of the network's convolutions. Each row has a process of its own.

    Keras on JAX    `jax_step.train_step`, compiled; as built: with Keras' own pooling
    PyTorch         benchmarks/torch_networks.py, channels last, autocast, cudnn.benchmark; compiled: torch.compile
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from common import in_own_process, random_network
from training import RATE, torch_step

from unet_deblur_tf.commands import flags
from unet_deblur_tf.configs import LOSSES, VARIANTS
from unet_deblur_tf.utils import scripts
from unet_deblur_tf.utils.files import write_by_rename

WARM_UP, BURSTS = 2, 5
TOLERANCE = 2e-2


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=["unet", "concat_se"], metavar="NAME")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="NAME")
    parser.add_argument("--batch-size", type=flags.positive_int, default=32, help="default: %(default)s")
    parser.add_argument("--crop", type=flags.positive_int, default=224, help="default: %(default)s")
    parser.add_argument("--steps", type=flags.positive_int, default=10, help="of a burst (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="a Markdown file")
    # For the processes of a row's own.
    parser.add_argument("--job", choices=JOBS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def make_model(arguments):
    """Writes a variant with random weights, and crops; returns the FLOPs of a step."""
    from unet_deblur_tf.training import jax_step

    network, _ = random_network(arguments)
    return {"flops": arguments.batch_size * jax_step.convolution_flops(network, arguments.crop)}


def start_keras(arguments, blurred, sharp, as_built=False):
    """A function that takes so many steps and returns the last one's loss, and what computes."""
    import jax
    import keras

    from unet_deblur_tf.models.transforms import in_precision
    from unet_deblur_tf.training import jax_step
    from unet_deblur_tf.training.optimizers import make_optimizer

    network = in_precision(keras.saving.load_model(arguments.folder / "model.keras"), "mixed_bfloat16")
    network = network if as_built else jax_step.for_jax(network)
    optimizer = make_optimizer("adamw", RATE)
    state = jax_step.initial_state(network, optimizer)
    step = jax.jit(jax_step.train_step(network, optimizer, LOSSES["ssim+l1"]), donate_argnums=0)
    blurred, sharp = jax.device_put(blurred), jax.device_put(sharp)

    def take(count):
        nonlocal state
        for _ in range(count):
            state, loss = step(state, blurred, sharp)
        return float(loss)

    return take, f"JAX {jax.__version__} on {jax.devices()[0].device_kind}"


def start_torch(arguments, blurred, sharp, compiled=False):
    """The same in PyTorch."""
    import torch

    torch.backends.cudnn.benchmark = True
    step = torch_step(*arguments.variants, arguments.folder / "weights.npz", os.cpu_count(), "bfloat16", compiled)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    blurred, sharp = (torch.as_tensor(each, device=device) for each in (blurred, sharp))

    def take(count):
        for _ in range(count):
            loss = step(blurred, sharp)
        return loss.item()

    return take, f"PyTorch {torch.__version__}"


ROWS = {
    "Keras on JAX": (start_keras, {}),
    "Keras on JAX, as built": (start_keras, dict(as_built=True)),
    "PyTorch": (start_torch, {}),
    "PyTorch, compiled": (start_torch, dict(compiled=True)),
}


def measure(arguments):
    """A row's figures, as a dict."""
    (name,) = arguments.rows
    start, options = ROWS[name]
    begin = time.perf_counter()
    take, what = start(arguments, *np.load(arguments.folder / "crops.npy"), **options)
    loss = take(1)
    ready = time.perf_counter() - begin
    take(WARM_UP)
    seconds = []
    for _ in range(BURSTS):
        begin = time.perf_counter()
        take(arguments.steps)
        seconds.append((time.perf_counter() - begin) / arguments.steps)
    return dict(what=what, loss=loss, ready=ready, median=statistics.median(seconds), minimum=min(seconds))


def matmul_peak(arguments, side=8192):
    """FLOP/s of a product of square matrices in bfloat16, the best of several; NaN without a GPU."""
    import torch

    if not torch.cuda.is_available():
        return {"peak": float("nan")}
    matrix = torch.randn(side, side, device="cuda", dtype=torch.bfloat16)
    seconds = []
    for _ in range(8):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        for _ in range(10):
            matrix @ matrix
        torch.cuda.synchronize()
        seconds.append((time.perf_counter() - begin) / 10)
    return {"peak": 2 * side**3 / min(seconds)}


JOBS = {"make_model": make_model, "measure": measure, "matmul_peak": matmul_peak}


def table(arguments):
    """Yields the lines of the report."""
    crops = ("--batch-size", arguments.batch_size, "--crop", arguments.crop, "--steps", arguments.steps)
    peak = in_own_process(__file__, "--job", "matmul_peak")["peak"]
    yield (
        f"Matrix product, 8192x8192: {peak / 1e12:.0f} TFLOP/s in bfloat16. A step of {arguments.batch_size} crops "
        f"of {arguments.crop}x{arguments.crop}, {BURSTS} bursts of {arguments.steps}."
    )
    yield "\n| variant | | median | minimum | crops/s | share of peak | first step | first loss | with |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for variant in arguments.variants:
        with tempfile.TemporaryDirectory() as folder:
            flags = ("--folder", folder, "--variants", variant, *crops)
            made = in_own_process(__file__, "--job", "make_model", *flags, environment={"JAX_PLATFORMS": "cpu"})
            first_loss = None
            for name in arguments.rows:
                row = in_own_process(__file__, "--job", "measure", *flags, "--rows", name)
                first_loss = first_loss or row["loss"]
                wrong = "" if abs(row["loss"] - first_loss) < TOLERANCE else " WRONG"
                yield (
                    f"| `{variant}` | {name} | {1000 * row['median']:.1f} ms | {1000 * row['minimum']:.1f} ms "
                    f"| {arguments.batch_size / row['median']:.0f} | {made['flops'] / row['median'] / peak:.0%} "
                    f"| {row['ready']:.0f} s | {row['loss']:.4f}{wrong} | {row['what']} |"
                )


def main(arguments):
    if arguments.job:
        print(json.dumps(JOBS[arguments.job](arguments)))
        return
    lines = []
    for line in table(arguments):
        print(line, flush=True)
        lines.append(line)
        if arguments.output:
            with write_by_rename(arguments.output) as partial:
                partial.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    scripts.run(main, parse_arguments())
