"""Seconds of a training step in Keras and PyTorch: forward, 1 - SSIM + L1, backward, AdamW with clipped gradients.

python benchmarks/training.py                         every variant, batches of 4 crops of 224x224
python benchmarks/training.py --variants unet concat_se --output reports/training    also training.json and .md

The same random weights (batch norm) and the same crops everywhere, each row in a process of its own: 2 steps to
warm up, then the median and minimum of `--repeat` steps. The first step's loss is compared with Keras' in float32;
beyond 1e-4 (bfloat16: 1e-2) a row is WRONG.

The share of the peak is that of a matrix product in TensorFlow, 4096x4096, in the same precision. A step counts as
three times the FLOPs of the network's convolutions, as `explain.py cost` counts them: forward, and backward to
inputs and to kernels. Say whether other jobs ran beside it.

    Keras       as `train.py` compiles it, without its metrics; bfloat16: the policy mixed_bfloat16; XLA: jit_compile;
                as built: without what `levels.py` does
    PyTorch     benchmarks/torch_networks.py, channels last; bfloat16: autocast; compiled: torch.compile
"""

import argparse
import functools
import json
import statistics
import time
from typing import NamedTuple

import numpy as np
from common import (
    JobFailed,
    add_arguments,
    do,
    installed,
    load_keras_in,
    matmul_peaks,
    peak_memory,
    random_network,
    report,
    tensorflow,
    timed,
)

from unet_deblur_tf.commands import flags
from unet_deblur_tf.utils import scripts

TOLERANCES = {"float32": 1e-4, "bfloat16": 1e-2}
RATE, DECAY, CLIP = 1e-3, 1e-4, 1.0


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="NAME",
        help=", ".join(map(repr, ROWS)) + " (default: all)",
    )  # fmt: skip
    parser.add_argument("--batch-size", type=flags.positive_int, default=4, help="default: %(default)s")
    parser.add_argument("--crop", type=flags.positive_int, default=224, help="default: %(default)s")
    add_arguments(parser, JOBS, repeat=7)
    return parser.parse_args()


class Row(NamedTuple):
    """A row of the table.

    Attributes:
        precision: str, "float32" or "bfloat16".
        start: function of (the variant's folder, precision, the parsed flags) that returns a function of
            (blurred, sharp), float32 arrays `(batch, crop, crop, 3)`, that takes a step and returns the loss.
        packages: what it needs beyond this project's dependencies.
    """

    precision: str
    start: callable
    packages: tuple = ()


def start_keras(folder, precision, arguments, xla=False, as_built=False):
    tf = tensorflow(arguments.threads)
    network = load_keras_in(precision, folder / "model.keras")

    from unet_deblur_tf import configs
    from unet_deblur_tf.training import compiling, losses

    network = network if as_built else compiling.prepare_for_fit(network)

    settings = argparse.Namespace(
        learning_rate=RATE, schedule="constant", optimizer="adamw", loss="ssim+l1", epochs=1, steps_per_epoch=1
    )
    compiling.compile_model(network, settings)
    network.compile(network.optimizer, losses.weighted_loss(configs.LOSSES["ssim+l1"]), jit_compile=xla)
    network.make_train_function()

    def take(blurred, sharp):
        batches = iter(tf.data.Dataset.from_tensors((blurred, sharp)).repeat())
        while True:
            network.reset_metrics()
            yield float(network.train_function(batches)["loss"])

    return take


def start_torch(folder, precision, arguments, compiled=False):
    (variant,) = arguments.variants
    step = torch_step(variant, folder / "weights.npz", arguments.threads, precision, compiled)

    def take(blurred, sharp):
        while True:
            yield step(blurred, sharp).item()

    return take


def torch_step(variant, weights, threads, precision, compiled):
    """A function of (blurred, sharp), arrays `(batch, crop, crop, 3)` or what it gave the device, to the loss there."""
    import torch
    from torch_networks import load_network

    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = load_network(variant, weights, threads).train().to(device)
    matrices = [each for each in network.parameters() if each.ndim > 1]
    vectors = [each for each in network.parameters() if each.ndim == 1]
    groups = [{"params": matrices, "weight_decay": DECAY}, {"params": vectors, "weight_decay": 0}]
    optimizer = torch.optim.AdamW(groups, RATE, eps=1e-7, fused=True)
    forward = torch.compile(network) if compiled else network
    loss_of = torch.compile(torch_loss) if compiled else torch_loss

    def step(blurred, sharp):
        # Height, width, channels turned to the front without moving anything: this is channels last.
        blurred, sharp = (torch.as_tensor(each, device=device).permute(0, 3, 1, 2) for each in (blurred, sharp))
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
            restored = forward(blurred)
        loss = loss_of(sharp, restored.float())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimizer.step()
        return loss

    return step


def torch_loss(sharp, restored):
    """1 - SSIM + L1, float32 `(batch, 3, height, width)`: the window of 11x11 as two of 11, without padding."""
    import torch

    place = torch.arange(11, device=sharp.device) - 5
    window = torch.softmax(-(place.float() ** 2) / (2 * 1.5**2), 0).expand(15, 1, 11)

    def blur(x):
        return torch.nn.functional.conv2d(
            torch.nn.functional.conv2d(x, window[..., None, :], groups=15), window[..., None], groups=15
        )

    # All five means at once.
    fields = (sharp, restored, sharp * sharp, restored * restored, sharp * restored)
    mean_s, mean_r, square_s, square_r, product = blur(torch.cat(fields, 1)).split(3, 1)
    variances = square_s - mean_s**2 + square_r - mean_r**2
    luminance = (2 * mean_s * mean_r + 0.01**2) / (mean_s**2 + mean_r**2 + 0.01**2)
    structure = (2 * (product - mean_s * mean_r) + 0.03**2) / (variances + 0.03**2)
    return 1 - (luminance * structure).mean() + (restored - sharp).abs().mean()


ROWS = {
    "Keras float32": Row("float32", start_keras),
    "Keras float32, XLA": Row("float32", functools.partial(start_keras, xla=True)),
    "Keras bfloat16": Row("bfloat16", start_keras),
    "Keras bfloat16, XLA": Row("bfloat16", functools.partial(start_keras, xla=True)),
    "Keras bfloat16, as built": Row("bfloat16", functools.partial(start_keras, as_built=True)),
    "PyTorch float32": Row("float32", start_torch, ("torch",)),
    "PyTorch float32, compiled": Row("float32", functools.partial(start_torch, compiled=True), ("torch",)),
    "PyTorch bfloat16": Row("bfloat16", start_torch, ("torch",)),
    "PyTorch bfloat16, compiled": Row("bfloat16", functools.partial(start_torch, compiled=True), ("torch",)),
}


def make_model(arguments):
    """Writes a variant with random weights and crops; returns the MACs of a window and the first loss."""
    tensorflow(arguments.threads)

    from unet_deblur_tf import configs
    from unet_deblur_tf.explaining import cost
    from unet_deblur_tf.training import losses

    network, (blurred, sharp) = random_network(arguments)
    loss = losses.weighted_loss(configs.LOSSES["ssim+l1"])(sharp, network(blurred, training=True))
    costs = cost.layer_costs(network, arguments.crop, arguments.crop)
    return {"macs": sum(each.macs for each in costs if each.kind == "Conv2D"), "loss": float(np.mean(loss))}


def measure(arguments):
    """A row's figures, as a dict."""
    (name,) = arguments.rows
    start = time.perf_counter()
    steps = ROWS[name].start(arguments.folder, ROWS[name].precision, arguments)(
        *np.load(arguments.folder / "crops.npy")
    )
    loss = next(steps)
    first = time.perf_counter() - start
    seconds, _ = timed(lambda: next(steps), arguments.repeat)
    return {
        "seconds": statistics.median(seconds),
        "min_seconds": min(seconds),
        "first_step": first,
        "memory": peak_memory(),
        "loss": loss,
    }


JOBS = {
    "make_model": make_model,
    "matmul_peaks": lambda arguments: matmul_peaks(arguments.threads),
    "measure": measure,
}


def window_flags(arguments):
    return "--batch-size", arguments.batch_size, "--crop", arguments.crop


def figures(variant, name, made, peaks, folder, arguments):
    """The figures of a row, or its error, as a dict."""
    precision = ROWS[name].precision
    head = {"variant": variant, "row": name, "precision": precision}
    try:
        measured = do(__file__, "measure", folder, arguments, variant, *window_flags(arguments), "--rows", name)
    except JobFailed as error:
        return {**head, "error": str(error)}
    gflops = 3 * 2 * made["macs"] * arguments.batch_size / measured["seconds"] / 1e9
    return {
        **head,
        **measured,
        "difference": abs(measured["loss"] - made["loss"]),
        # Written so that a difference that is not a number is wrong, too.
        "wrong": not abs(measured["loss"] - made["loss"]) <= TOLERANCES[precision],
        "crops_per_second": arguments.batch_size / measured["seconds"],
        "share": gflops / peaks[precision],
    }


def table(variant, made, rows):
    """A variant's rows in Markdown; times are compared with our best."""
    ours = [each["seconds"] for each in rows if each["row"].startswith("Keras") and "seconds" in each]
    lines = [
        f"### {variant}\n",
        "| | median | minimum | of our best | crops/s | share of peak | first step | peak memory | loss off by |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for each in rows:
        if "error" in each:
            lines.append(f"| {each['row']} | {each['error'].replace('|', ' ')[:200]} | | | | | | | |")
            continue
        ratio = f"{each['seconds'] / min(ours):.2f}" if ours else ""
        lines.append(
            f"| {each['row']} | {each['seconds']:.3f} s | {each['min_seconds']:.3f} s | {ratio} "
            f"| {each['crops_per_second']:.1f} | {each['share']:.0%} | {each['first_step']:.0f} s "
            f"| {each['memory'] / 1e9:.1f} GB | {each['difference']:.0e}{' WRONG' if each['wrong'] else ''} |"
        )
    return "\n".join(lines)


def main(arguments):
    if arguments.job:
        print(json.dumps(JOBS[arguments.job](arguments)))
        return
    names = [name for name in arguments.rows if installed(name, ROWS[name].packages)]
    crops = f"{arguments.batch_size} crops of {arguments.crop}x{arguments.crop}"
    heading = f"A step of {crops}, median and minimum of {arguments.repeat}, {arguments.threads} threads."
    report(__file__, arguments, names, heading, window_flags(arguments), figures, table)


if __name__ == "__main__":
    scripts.run(main, parse_arguments())
