"""Counts what each layer of a network costs: parameters, multiply-accumulates, FLOPs and memory of its output.

The counts follow from the shapes, for one picture. H, W, C: height, width and channels of a layer's output; c: channels
of its input; k: side of the kernel or of the pooling window; h: hidden units.

    convolution          MACs k k c C H W    FLOPs 2 MACs + C H W for the bias
    squeeze              FLOPs H W c (H and W of its input)
    excitation           MACs 2 c h          FLOPs 2 MACs + h for ReLU + 4 c for the sigmoid + C H W for scaling
    simplified attention MACs c c            FLOPs 2 MACs + c for the bias + C H W for scaling
    depthwise conv.      MACs k k C H W      FLOPs 2 MACs + C H W for the bias
    gate, channel scale  FLOPs C H W
    batch norm           FLOPs 2 C H W (at inference)
    layer norm           FLOPs 8 C H W
    ReLU, addition       FLOPs C H W
    sigmoid              FLOPs 4 C H W
    pooling              FLOPs k k C H W
    bilinear upsampling  FLOPs 7 C H W (three interpolations with 2 each: two along one axis, one along the other;
                         and rounding)
    padding, cropping, concatenation: none

A network of several scales (`models.scales`) runs at several sizes of the picture. The costs of a layer are added up;
halving and doubling the picture itself is left out.
"""

import csv
import itertools
from pathlib import Path
from typing import NamedTuple

import keras
import matplotlib
import matplotlib.figure
import numpy as np

from unet_deblur_tf.configs import FIGURE_LAYERS, VARIANTS
from unet_deblur_tf.explaining import keras_flops
from unet_deblur_tf.models.layers import BilinearUpsampling2D, Excitation, Squeeze
from unet_deblur_tf.models.naf import ChannelScale, SimpleGate, SimplifiedAttention
from unet_deblur_tf.models.scales import sizes_of, trunk_of
from unet_deblur_tf.models.transforms import with_size
from unet_deblur_tf.models.unet import build
from unet_deblur_tf.utils.files import write_by_rename

COLUMNS = ("parameters", "macs", "flops", "memory")


class Cost(NamedTuple):
    """The cost of one layer for one picture.

    Attributes:
        layer: str, name of the layer.
        kind: str, class of the Keras layer; "" for a layer of the figure.
        figure: str, the layer of the figure (`configs.FIGURE_LAYERS`) that it belongs to.
        shape: (height, width, channels) of the output.
        parameters: int, number of trainable parameters.
        macs, flops: int, see the formulas of this module.
        memory: int, bytes of the output in float32.
    """

    layer: str
    kind: str
    figure: str
    shape: tuple
    parameters: int
    macs: int
    flops: int
    memory: int


def layer_costs(network: keras.Model, height: int = 224, width: int = 224) -> list[Cost]:
    """Computes the cost of every Keras layer, in the order of the graph.

    Args:
        network: `keras.Model` as `models.unet.build` returns it.
        height, width: int, size of the picture in pixels.

    Returns:
        List of `Cost`. With several scales, MACs and FLOPs are those of all sizes together, the others those of the
        largest.
    """
    by_size = [_costs_at(trunk_of(network), *size) for size in sizes_of(network, height, width)]
    return [
        costs[0]._replace(macs=sum(cost.macs for cost in costs), flops=sum(cost.flops for cost in costs))
        for costs in zip(*by_size)
    ]


def _costs_at(network, height, width):
    """The costs of every layer of a network of one scale."""
    layers = with_size(network, height, width).layers
    return [_cost(layer) for layer in layers if not isinstance(layer, keras.layers.InputLayer)]


def _cost(layer):
    inputs = layer.input if isinstance(layer.input, list) else [layer.input]
    shape = tuple(layer.output.shape[1:])
    size, input_size = int(np.prod(shape)), int(np.prod(inputs[0].shape[1:]))
    macs = other = 0
    match layer:
        case keras.layers.DepthwiseConv2D():
            macs = int(np.prod(layer.kernel.shape)) * shape[0] * shape[1]
            other = size
        case keras.layers.Conv2D():
            macs = int(np.prod(layer.kernel.shape)) * shape[0] * shape[1]
            other = size if layer.use_bias else 0
        case Excitation():
            channels, hidden = layer.squeeze.shape
            macs = 2 * channels * hidden
            other = hidden + 4 * channels + size
        case SimplifiedAttention():
            macs = layer.kernel.shape[0] ** 2
            other = layer.kernel.shape[0] + size
        case SimpleGate() | ChannelScale():
            other = size
        case Squeeze():
            other = input_size
        case keras.layers.BatchNormalization():
            other = 2 * size
        case keras.layers.LayerNormalization():
            other = 8 * size
        case keras.layers.ReLU() | keras.layers.LeakyReLU() | keras.layers.Add():
            other = size
        case keras.layers.Activation():
            other = 4 * size
        case keras.layers.MaxPooling2D() | keras.layers.AveragePooling2D():
            other = int(np.prod(layer.pool_size)) * size
        case BilinearUpsampling2D():
            other = 7 * size
    parameters = sum(int(np.prod(weight.shape)) for weight in layer.trainable_weights)
    return Cost(
        layer.name, type(layer).__name__, figure_layer(layer.name), shape, parameters, macs, 2 * macs + other, 4 * size
    )


def figure_layer(name: str) -> str:
    """Finds the layer of the figure that a Keras layer belongs to, by its name.

    A level resized for the decoder (`level1_at3`) belongs to the stage that uses it, the means of a level
    (`level1_squeeze`) to the layer that computes the level, and padding to the first layer.
    """
    if name in ("pad", "guided"):
        return "inc"
    if name.startswith("level"):
        level, _, target = name.removeprefix("level").partition("_")
        if target == "squeeze":
            return FIGURE_LAYERS[int(level) - 1]
        return f"up{5 - int(target.removeprefix('at'))}"
    return name.partition("_")[0]


def figure_costs(costs: list[Cost]) -> list[Cost]:
    """Sums the costs for each of the ten layers of the figure. The shape is that of its last Keras layer.

    Args:
        costs: list of `Cost`, as `layer_costs` returns it.
    """
    rows = []
    for name in FIGURE_LAYERS:
        parts = [cost for cost in costs if cost.figure == name]
        last = [cost for cost in parts if not cost.layer.startswith("level")][-1]
        rows.append(Cost(name, "", name, last.shape, *(sum(getattr(cost, key) for cost in parts) for key in COLUMNS)))
    return rows


def total(costs: list[Cost]) -> Cost:
    """Sums the costs of all layers, into a `Cost` named "total"."""
    return Cost("total", "", "", (), *(sum(getattr(cost, key) for cost in costs) for key in COLUMNS))


def table(costs: list[Cost]) -> str:
    """Formats costs as a table: a row per layer, with its share of the total, and a row for the total."""
    whole = total(costs)
    width = max(len(cost.layer) for cost in [*costs, whole])
    lines = [f"{'':{width}}  {'output':>15}  {'parameters':>18}  {'GMACs':>15}  {'GFLOPs':>7}  {'memory':>8}"]
    for cost in [*costs, whole]:
        shape = "x".join(map(str, cost.shape))
        lines.append(
            f"{cost.layer:{width}}  {shape:>15}  {cost.parameters:10,} {_share(cost.parameters, whole.parameters)}  "
            f"{cost.macs / 1e9:7.3f} {_share(cost.macs, whole.macs)}  {cost.flops / 1e9:7.3f}  "
            f"{cost.memory / 1e6:5.1f} MB"
        )
    return "\n".join(lines)


def _share(part, whole):
    return f"{part / whole:6.1%}" if whole else ""


def comparison(height: int = 224, width: int = 224) -> dict[str, tuple[Cost, int]]:
    """Computes the total cost of every variant.

    Returns:
        dict from the variant to (`Cost` of all layers, FLOPs that keras-flops counts).
    """
    return {
        variant: (total(layer_costs(network, height, width)), keras_flops.count(network, height, width))
        for variant, network in ((variant, build(variant)) for variant in VARIANTS)
    }


def comparison_table(totals: dict[str, tuple[Cost, int]]) -> str:
    """Formats the result of `comparison` as a table."""
    width = max(map(len, totals))
    lines = [f"{'':{width}}  {'parameters':>10}  {'GMACs':>7}  {'GFLOPs':>7}  {'keras-flops':>11}"]
    for variant, (cost, counted) in totals.items():
        lines.append(
            f"{variant:{width}}  {cost.parameters:10,}  {cost.macs / 1e9:7.3f}  {cost.flops / 1e9:7.3f}  "
            f"{counted / 1e9:11.3f}"
        )
    return "\n".join(lines)


def write_csv(costs: list[Cost], path: Path) -> None:
    """Writes costs as a CSV file with a header."""
    with write_by_rename(path) as partial, open(partial, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Cost._fields)
        writer.writerows({**cost._asdict(), "shape": "x".join(map(str, cost.shape))}.values() for cost in costs)


def layer_chart(costs: list[Cost], title: str) -> matplotlib.figure.Figure:
    """Draws bars of the parameters and GMACs of each layer, like figure 11 of the original student project."""
    figure = matplotlib.figure.Figure(figsize=(9, 6), layout="constrained")
    figure.suptitle(title)
    for axes, key, scale, label in zip(
        figure.subplots(2, 1), ("parameters", "macs"), (1e6, 1e9), ("parameters (millions)", "GMACs")
    ):
        values = [getattr(cost, key) / scale for cost in costs]
        bars = axes.bar([cost.layer for cost in costs], values, color="steelblue")
        axes.bar_label(bars, [f"{value:.2f}" for value in values], fontsize=8)
        axes.set_ylabel(label)
        axes.margins(y=0.15)
        axes.tick_params(axis="x", rotation=0 if len(costs) <= 10 else 90)
    return figure


def comparison_chart(totals: dict[str, tuple[Cost, int]], title: str) -> matplotlib.figure.Figure:
    """Plots the parameters of every variant against its GMACs, from the result of `comparison`."""
    figure = matplotlib.figure.Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    # Variants with and without squeeze-and-excitation nearly coincide, so markers are open and alternate in size.
    for size, (variant, (cost, _)) in zip(itertools.cycle((40, 160)), totals.items()):
        axes.scatter(cost.macs / 1e9, cost.parameters / 1e6, s=size, facecolors="none", linewidths=2, label=variant,
                     edgecolors=f"C{len(axes.collections)}")  # fmt: skip
    axes.legend(loc="upper left")
    axes.set(xlabel="GMACs", ylabel="parameters (millions)", title=title)
    axes.set_xlim(0, 1.15 * max(cost.macs for cost, _ in totals.values()) / 1e9)
    axes.set_ylim(0, 1.15 * max(cost.parameters for cost, _ in totals.values()) / 1e6)
    return figure
