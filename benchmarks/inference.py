"""Seconds and peak memory of one restored picture, in TensorFlow, PyTorch, ONNX Runtime and OpenVINO.

python benchmarks/inference.py                           every variant and runtime, 1280x720
python benchmarks/inference.py --variants unet --runtimes "SavedModel float32" "PyTorch float32"
python benchmarks/inference.py --output reports/inference    also inference.json, .md and .png

The same random weights everywhere, each row in a process of its own: 2 runs to warm up, then
the median and minimum of `--repeat` runs, from a NumPy array to a NumPy array. The difference is the
largest from Keras' own float32 output; beyond 1e-3 (bfloat16: 0.05) a row is WRONG.

The share of the peak is that of a matrix product in TensorFlow, 4096x4096, in the same
precision. FLOPs are those of the network's convolutions as `explain.py cost` counts them, also where
a runtime gets by with fewer. Say whether other jobs ran beside it.

    SavedModel      what this project serves; bfloat16: the policy mixed_bfloat16
    Keras naive     the network as built, in a tf.function
    PyTorch         benchmarks/torch_networks.py, channels last; bfloat16: autocast; compiled: torch.compile
    ONNX Runtime    of an ONNX file of the network as built, all graph optimisations
    OpenVINO        of the same file, fixed to the picture's size, latency hint
    our ONNX in ... of what `export.py --format onnx` writes: the form for inference that the SavedModel has, too
"""

import argparse
import functools
import json
import statistics
from typing import NamedTuple

import matplotlib.figure
import matplotlib.patches
import numpy as np
from common import (
    JobFailed,
    add_arguments,
    do,
    installed,
    keras_weights,
    load_keras,
    load_keras_in,
    matmul_peaks,
    peak_memory,
    report,
    tensorflow,
    timed,
)

from unet_deblur_tf.commands import flags
from unet_deblur_tf.errors import first_line
from unet_deblur_tf.utils import scripts

TOLERANCES = {"float32": 1e-3, "bfloat16": 0.05}
COLORS = {"float32": "steelblue", "bfloat16": "darkorange"}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=flags.size, default="1280x720", help="of the picture (default: %(default)s)")
    parser.add_argument(
        "--runtimes", nargs="+", choices=RUNTIMES, default=list(RUNTIMES), metavar="NAME",
        help=", ".join(map(repr, RUNTIMES)) + " (default: all)",
    )  # fmt: skip
    add_arguments(parser, JOBS, repeat=5)
    return parser.parse_args()


class Runtime(NamedTuple):
    """A row of the table.

    Attributes:
        precision: str, "float32" or "bfloat16".
        start: function of (the variant's folder, precision, the parsed flags) that returns a function from
            a picture to the restored one, both NumPy arrays `(1, height, width, 3)` in 0..1.
        prepare: function of (the folder, precision) that writes what `start` reads beyond `make_model`'s
            files; in a process of its own, so that its memory does not count.
        packages: what it needs beyond this project's dependencies.
    """

    precision: str
    start: callable
    prepare: callable = None
    packages: tuple = ()


def export_ours(keras_path, folder, precision):
    """Exports a network as the SavedModel that this project serves, in "float32" or "bfloat16"."""
    network = load_keras_in(precision, keras_path)

    from unet_deblur_tf.exporting import saved_model

    saved_model.export(network, folder, max_pixels=10**9)


def prepare_saved_model(folder, precision):
    export_ours(folder / "model.keras", folder / precision, precision)


def start_saved_model(folder, precision, arguments):
    tf = tensorflow(arguments.threads)
    serve = tf.saved_model.load(folder / precision).signatures["serving_default"]
    return lambda picture: serve(image=tf.constant(picture))["restored"].numpy()


def start_keras(folder, precision, arguments):
    tf = tensorflow(arguments.threads)
    network = load_keras(folder / "model.keras")
    restore = tf.function(lambda image: tf.clip_by_value(network(image, training=False), 0.0, 1.0))
    return lambda picture: restore(tf.constant(picture)).numpy()


def prepare_torch(folder, precision):
    np.savez(folder / "weights.npz", **keras_weights(load_keras(folder / "model.keras")))


def start_torch(folder, precision, arguments, compiled=False):
    import torch
    from torch_networks import load_network

    (variant,) = arguments.variants
    network = load_network(variant, folder / "weights.npz", arguments.threads).eval()

    def restore(picture):
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            # Height, width, channels turned to the front without moving anything: this is channels last.
            restored = network(torch.from_numpy(picture).permute(0, 3, 1, 2))
            return restored.clamp(0, 1).permute(0, 2, 3, 1).numpy()

    if compiled:
        network = torch.compile(network)
        try:
            restore(np.load(folder / "picture.npy"))
        except Exception as error:
            # Most often there is no C++ compiler; the lines that follow are advice on debugging.
            raise RuntimeError(first_line(error)) from None
    return restore


def prepare_onnx(folder, precision, fast=False):
    path = folder / ONNX_FILES[fast]
    if not path.exists():
        network = load_keras(folder / "model.keras")

        from unet_deblur_tf.exporting import onnx_litert

        onnx_litert.export_onnx(network, path, fast)


def start_onnxruntime(folder, precision, arguments, fast=False):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(folder / ONNX_FILES[fast], options, providers=["CPUExecutionProvider"])
    return lambda picture: session.run(["restored"], {"image": picture})[0]


def start_openvino(folder, precision, arguments, fast=False):
    import openvino

    core = openvino.Core()
    model = core.read_model(folder / ONNX_FILES[fast])
    model.reshape([1, *arguments.size, 3])
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": arguments.threads,
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
    }
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    return lambda picture: request.infer([picture])["restored"]


ONNX_FILES = {False: "as_built.onnx", True: "fast.onnx"}
prepare_ours, onnxruntime_ours, openvino_ours = (
    functools.partial(function, fast=True) for function in (prepare_onnx, start_onnxruntime, start_openvino)
)
start_compiled = functools.partial(start_torch, compiled=True)
ONNX = ("onnx", "tf2onnx")
RUNTIMES = {
    "SavedModel float32": Runtime("float32", start_saved_model, prepare_saved_model),
    "SavedModel bfloat16": Runtime("bfloat16", start_saved_model, prepare_saved_model),
    "Keras naive": Runtime("float32", start_keras),
    "PyTorch float32": Runtime("float32", start_torch, prepare_torch, ("torch",)),
    "PyTorch bfloat16": Runtime("bfloat16", start_torch, prepare_torch, ("torch",)),
    "PyTorch float32 compiled": Runtime("float32", start_compiled, prepare_torch, ("torch",)),
    "PyTorch bfloat16 compiled": Runtime("bfloat16", start_compiled, prepare_torch, ("torch",)),
    "ONNX Runtime": Runtime("float32", start_onnxruntime, prepare_onnx, (*ONNX, "onnxruntime")),
    "OpenVINO float32": Runtime("float32", start_openvino, prepare_onnx, (*ONNX, "openvino")),
    "OpenVINO bfloat16": Runtime("bfloat16", start_openvino, prepare_onnx, (*ONNX, "openvino")),
    "our ONNX in ONNX Runtime": Runtime("float32", onnxruntime_ours, prepare_ours, (*ONNX, "onnxruntime")),
    "our ONNX in OpenVINO float32": Runtime("float32", openvino_ours, prepare_ours, (*ONNX, "openvino")),
    "our ONNX in OpenVINO bfloat16": Runtime("bfloat16", openvino_ours, prepare_ours, (*ONNX, "openvino")),
}


def make_model(arguments):
    """Writes a variant with random weights, a picture, and what Keras makes of it; returns its MACs."""
    tf = tensorflow(arguments.threads)
    import keras

    from unet_deblur_tf.explaining import cost
    from unet_deblur_tf.models.scales import trunk_of
    from unet_deblur_tf.models.unet import build

    (variant,) = arguments.variants
    rng = np.random.default_rng(0)
    picture = rng.random((1, *arguments.size, 3), np.float32)
    keras.utils.set_random_seed(0)
    network = build(variant)
    for layer in trunk_of(network).layers:
        if type(layer).__name__ == "ChannelScale":
            layer.scale.assign(rng.normal(0, 0.3, layer.scale.shape))
        if isinstance(layer, keras.layers.BatchNormalization):
            for weight in (layer.gamma, layer.moving_variance):
                weight.assign(rng.uniform(0.5, 1.5, weight.shape))
            for weight in (layer.beta, layer.moving_mean):
                weight.assign(rng.normal(0, 0.2, weight.shape))
    # Corrections of 0.1, as a standard deviation, whatever the variant: plain to see, and most stay within 0..1.
    out = trunk_of(network).get_layer("out_conv")
    out.kernel.assign(rng.normal(0, 1, out.kernel.shape))
    restore = tf.function(lambda image: network(image, training=False))  # eagerly it takes more memory
    correction = restore(picture).numpy() - picture
    mean = correction.mean((0, 1, 2))
    scale = 0.1 / (correction - mean).std()
    out.kernel.assign(out.kernel * scale)
    out.bias.assign(np.resize(-mean * scale, out.bias.shape))  # the same for every pixel of a block

    network.save(arguments.folder / "model.keras")
    np.save(arguments.folder / "picture.npy", picture)
    np.save(arguments.folder / "expected.npy", np.clip(restore(picture), 0, 1))
    return sum(
        each.macs for each in cost.layer_costs(network, *arguments.size) if each.kind in ("Conv2D", "DepthwiseConv2D")
    )


def prepare(arguments):
    """Writes what a runtime reads."""
    (name,) = arguments.runtimes
    RUNTIMES[name].prepare(arguments.folder, RUNTIMES[name].precision)


def measure(arguments):
    """A runtime's figures, as a dict."""
    (name,) = arguments.runtimes
    picture = np.load(arguments.folder / "picture.npy")
    restore = RUNTIMES[name].start(arguments.folder, RUNTIMES[name].precision, arguments)
    seconds, restored = timed(lambda: restore(picture), arguments.repeat)
    memory = peak_memory()
    expected = np.load(arguments.folder / "expected.npy")
    if restored.shape != expected.shape:
        raise ValueError(f"gives the shape {restored.shape}, not {expected.shape}")
    return {
        "seconds": statistics.median(seconds),
        "min_seconds": min(seconds),
        "memory": memory,
        "difference": float(np.abs(restored - expected).max()),
    }


JOBS = {
    "make_model": make_model,
    "matmul_peaks": lambda arguments: matmul_peaks(arguments.threads),
    "prepare": prepare,
    "measure": measure,
}


def size_flags(arguments):
    height, width = arguments.size
    return "--size", f"{width}x{height}"


def row(variant, name, macs, peaks, folder, arguments):
    """The figures of a runtime, or its error, as a dict."""
    runtime = RUNTIMES[name]
    head = {"variant": variant, "runtime": name, "precision": runtime.precision}
    flags = [folder, arguments, variant, *size_flags(arguments), "--runtimes", name]
    try:
        if runtime.prepare:
            do(__file__, "prepare", *flags)
        figures = do(__file__, "measure", *flags)
    except JobFailed as error:
        return {**head, "error": str(error)}
    gflops = 2 * macs / figures["seconds"] / 1e9
    return {
        **head,
        **figures,
        # Written so that a difference that is not a number is wrong, too.
        "wrong": not figures["difference"] <= TOLERANCES[runtime.precision],
        "gflops": gflops,
        "share": gflops / peaks[runtime.precision],
    }


def table(variant, macs, rows):
    """A variant's rows in Markdown; times are compared with our SavedModel's of the same precision."""
    ours = {each["precision"]: each for each in rows if each["runtime"].startswith("SavedModel")}
    lines = [
        f"### {variant}, {macs / 1e9:.1f} GMACs\n",
        "| runtime | median | minimum | of ours | peak memory | difference | GFLOP/s | share of peak |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in rows:
        if "error" in each:
            lines.append(f"| {each['runtime']} | {each['error'].replace('|', ' ')[:200]} | | | | | | |")
            continue
        our = ours.get(each["precision"], {}).get("seconds")
        ratio = f"{each['seconds'] / our:.2f}" if our else ""
        lines.append(
            f"| {each['runtime']} | {each['seconds']:.3f} s | {each['min_seconds']:.3f} s "
            f"| {ratio} | {each['memory'] / 1e9:.2f} GB "
            f"| {each['difference']:.1e}{' WRONG' if each['wrong'] else ''} "
            f"| {each['gflops']:.0f} | {each['share']:.0%} |"
        )
    return "\n".join(lines)


def chart(rows, title):
    """Bars of median seconds: a panel for each variant, a bar for each runtime."""
    variants = list(dict.fromkeys(each["variant"] for each in rows))
    names = list(dict.fromkeys(each["runtime"] for each in rows))
    figure = matplotlib.figure.Figure(
        figsize=(2.5 + 2.5 * len(variants), 1.5 + 0.35 * len(names)), layout="constrained"
    )
    figure.suptitle(title)
    panels = figure.subplots(1, len(variants), sharey=True, squeeze=False)[0]
    for axes, variant in zip(panels, variants):
        own = [each for each in rows if each["variant"] == variant]
        seconds = [each.get("seconds", 0) for each in own]
        marks = ["failed" if "error" in each else " WRONG" if each["wrong"] else "" for each in own]
        bars = axes.barh([each["runtime"] for each in own], seconds, color=[COLORS[each["precision"]] for each in own])
        labels = [f"{value:.2f}{mark}" if value else mark for value, mark in zip(seconds, marks)]
        axes.bar_label(bars, labels, padding=2, fontsize=8)
        axes.margins(x=0.25)
        axes.set(title=variant, xlabel="seconds")
    panels[0].invert_yaxis()
    figure.legend(
        handles=[matplotlib.patches.Patch(color=color, label=precision) for precision, color in COLORS.items()],
        loc="outside lower center", ncols=len(COLORS),
    )  # fmt: skip
    return figure


def main(arguments):
    if arguments.job:
        print(json.dumps(JOBS[arguments.job](arguments)))
        return
    names = [name for name in arguments.runtimes if installed(name, RUNTIMES[name].packages)]
    height, width = arguments.size
    heading = f"One {width}x{height} picture, median and minimum of {arguments.repeat}, {arguments.threads} threads."
    about, rows = report(__file__, arguments, names, heading, size_flags(arguments), row, table)
    if arguments.output:
        title = f"One {width}x{height} picture, {about['threads']} threads of {about['cpu']}"
        chart(rows, title).savefig(arguments.output / "inference.png", dpi=120)


if __name__ == "__main__":
    scripts.run(main, parse_arguments())
