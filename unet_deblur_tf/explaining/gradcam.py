"""Shows where a network looks: Grad-CAM of the ten layers of the figure, and the gates of squeeze-and-excitation.

Grad-CAM (Selvaraju et al., ICCV 2017) weights each channel of a layer by the mean gradient of a score with respect to
it, adds up the channels and keeps the positive part. The result shows the places whose features raise the score. A
restoring network has no classes, so the score is one of `SCORES`.
"""

import sys
from typing import NamedTuple

import keras
import matplotlib
import matplotlib.figure
import numpy as np
import scipy.ndimage
import tensorflow as tf

from unet_deblur_tf.configs import CELL, FIGURE_LAYERS
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.models.layers import Excitation, ReflectPadding2D
from unet_deblur_tf.models.scales import inputs_of_trunk, trunk_of
from unet_deblur_tf.models.transforms import in_precision, scale_of, squeeze_layers

# tf-keras-vis 0.8.7 imports `zoom` from a namespace that SciPy 1 deprecates and SciPy 2 removes.
sys.modules["scipy.ndimage.interpolation"] = scipy.ndimage

from tf_keras_vis.gradcam import Gradcam  # noqa: E402

SCORES = {
    "correction": "mean |restored - blurred|, how much is corrected",
    "output": "mean of the restored picture, how bright it is",
    "error": "mean |restored - sharp|, how much is still wrong",
}

Box = tuple[int, int, int, int]  # (x, y, width, height) in pixels


class Heatmaps(NamedTuple):
    """Grad-CAM of one picture.

    Attributes:
        maps: dict from the layer of the figure to float32 `(height, width)`, divided by its largest value, so in 0..1;
            all zeros if the layer raises the score nowhere.
        restored: float32 `(height, width, 3)` in 0..1, the restored picture.
        score: float, the value of the score.
    """

    maps: dict[str, np.ndarray]
    restored: np.ndarray
    score: float


def heatmaps(
    network: keras.Model,
    blurred: np.ndarray,
    score: str = "correction",
    sharp: np.ndarray | None = None,
    box: Box | None = None,
) -> Heatmaps:
    """Computes Grad-CAM of the ten layers of the figure. With several scales, it is that of the largest one.

    Args:
        network: `keras.Model` as `models.unet.build` returns it, in any precision.
        blurred: float32 `(height, width, 3)` in 0..1.
        score: key of `SCORES`.
        sharp: the sharp picture, like `blurred`; needed for the score "error".
        box: (x, y, width, height) in pixels, the part of the picture where the score is taken; None for all of it.

    Returns:
        `Heatmaps`.

    Raises:
        ValueError: if the score needs a sharp picture and there is none.
        InputError: (a ValueError) if the box is not inside the picture.
    """
    height, width, _ = blurred.shape
    left, top, across, down = box or (0, 0, width, height)
    check_box((left, top, across, down), (height, width))
    if score == "error" and sharp is None:
        raise ValueError("the score 'error' needs a sharp picture")
    reference = {"correction": blurred, "error": sharp, "output": np.zeros_like(blurred)}[score]

    def value(restored):
        difference = tf.abs(tf.cast(restored, tf.float32)[:, :height, :width] - reference)
        return tf.reduce_mean(difference[:, top : top + down, left : left + across], axis=(1, 2, 3))

    network = in_precision(network, "float32")  # gradients in 16 bits are too coarse
    # Pad the picture as the network would. Then each map covers exactly the padded picture, and can be cropped to the
    # original one.
    padded = np.asarray(ReflectPadding2D(scale_of(network) * CELL)(blurred[np.newaxis]))
    inputs = inputs_of_trunk(network, padded)
    trunk = trunk_of(network)
    explain = Gradcam(trunk)
    maps = {}
    for name in FIGURE_LAYERS:
        cams = explain(
            value, inputs, penultimate_layer=output_layer(trunk, name), seek_penultimate_conv_layer=False,
            normalize_cam=False,
        )  # fmt: skip
        cam = (cams[0] if isinstance(cams, list) else cams)[0, :height, :width]  # the same for each of the inputs
        maps[name] = (cam / max(float(cam.max()), 1e-30)).astype(np.float32)
    restored = network(padded, training=False)
    return Heatmaps(maps, np.clip(restored[0, :height, :width], 0, 1), float(value(restored)[0]))


def check_box(box: Box, size: tuple[int, int]) -> None:
    """Checks that a box (x, y, width, height) lies inside a picture of size (height, width).

    Raises:
        InputError: if it does not.
    """
    left, top, across, down = box
    height, width = size
    if across < 1 or down < 1 or left < 0 or top < 0 or left + across > width or top + down > height:
        raise InputError(f"box must lie inside the picture of {width}x{height}. Received: box={box!r}")


def output_layer(network: keras.Model, name: str) -> str:
    """The name of the Keras layer whose output is that of the layer `name` of the figure."""
    names = [layer.name for layer in network.layers]
    if name == "out":
        return "out_shuffle" if "out_shuffle" in names else "out_conv"
    return next(layer for layer in reversed(names) if layer.startswith(f"{name}_"))


def gates(network: keras.Model, blurred: np.ndarray) -> dict[str, np.ndarray]:
    """Computes the factors by which squeeze-and-excitation multiplies each channel.

    Args:
        network: `keras.Model` as `models.unet.build` returns it.
        blurred: float32 `(height, width, 3)` in 0..1.

    Returns:
        dict from the name of the layer (`up1_se3`: stage `up1`, level 3) to float32 `(channels,)` in 0..1. With local
        pooling these are means over the picture. The dict is empty for a network without squeeze-and-excitation.
    """
    trunk = trunk_of(network)
    layers = [layer for layer in trunk.layers if isinstance(layer, Excitation)]
    if not layers:
        return {}
    sources = {layer.name: layer.output for layer in squeeze_layers(network)}
    means = keras.Model(trunk.inputs, sources)(inputs_of_trunk(network, blurred[np.newaxis]), training=False)
    gates_by_layer = {}
    for layer in layers:
        mean = means[f"level{layer.name[-1]}_squeeze"]
        gates_by_layer[layer.name] = np.asarray(tf.cast(layer.gate(mean), tf.float32)).mean(axis=(0, 1, 2))
    return gates_by_layer


def sheet(blurred: np.ndarray, cams: Heatmaps, title: str) -> matplotlib.figure.Figure:
    """Draws the blurred and the restored picture, and the ten heat maps over the picture, with a colour bar.

    Args:
        blurred: float32 `(height, width, 3)` in 0..1.
        cams: `Heatmaps` of that picture.
        title: str, the title of the figure.
    """
    aspect = blurred.shape[0] / blurred.shape[1]
    figure = matplotlib.figure.Figure(figsize=(16, 3 * 3.1 * aspect + 1.8), layout="constrained")
    figure.suptitle(title)
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(1, 2))[:, 0]
    for axes, picture, caption in zip(above.subplots(1, 2), (blurred, cams.restored), ("blurred", "restored")):
        _show(axes, picture, caption)
    axes = below.subplots(2, 5)
    grey = blurred.mean(axis=2)
    for panel, (number, (name, cam)) in zip(axes.flat, enumerate(cams.maps.items(), start=1)):
        _show(
            panel,
            np.clip(grey, 0, 1),
            f"{number} {name}" + ("" if cam.max() > 0 else ": raises the score nowhere"),
            cmap="gray",
            vmin=0,
            vmax=1,
        )
        overlay = panel.imshow(cam, cmap="jet", alpha=0.5, vmin=0, vmax=1)
    below.colorbar(overlay, ax=axes, label="of the layer's largest value", shrink=0.8)
    return figure


def gate_chart(gates_by_layer: dict[str, np.ndarray], title: str) -> matplotlib.figure.Figure:
    """Draws the mean gate by stage and level as bars, and below them the gate of every channel.

    Args:
        gates_by_layer: result of `gates`, not empty.
        title: str, the title of the figure.
    """
    stages = sorted({name.partition("_")[0] for name in gates_by_layer})
    figure = matplotlib.figure.Figure(figsize=(12, 7), layout="constrained")
    figure.suptitle(title)
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=(3, 4))[:, 0]
    bars = upper.subplots()
    strips = lower.subplots(len(stages), 1, squeeze=False)[:, 0]
    for row, (stage, strip) in enumerate(zip(stages, strips)):
        levels = {
            name.partition("_se")[2]: gate for name, gate in gates_by_layer.items() if name.startswith(f"{stage}_")
        }
        for level, gate in levels.items():
            x = row + (int(level) - 2.5) * 0.2
            bars.bar(x, gate.mean(), 0.18, color=f"C{int(level) - 1}", label=f"level {level}" if row == 0 else None)
            bars.vlines(x, *np.percentile(gate, [10, 90]), color="black", linewidth=1)
        image = strip.imshow(
            np.concatenate(list(levels.values()))[np.newaxis], aspect="auto", vmin=0, vmax=1, cmap="viridis"
        )
        for border in np.cumsum([len(gate) for gate in levels.values()])[:-1]:
            strip.axvline(border - 0.5, color="red", linewidth=1)
        strip.set_yticks([0], [stage])
    bars.set_xticks(range(len(stages)), stages)
    bars.set(ylim=(0, 1), ylabel="mean gate; line: 10 to 90 % of the channels")
    bars.legend(ncols=4, loc="upper right")
    strips[-1].set_xlabel("channels of the levels, divided by red lines")
    lower.colorbar(image, ax=strips, label="gate")
    return figure


def _show(axes, picture, caption, **options):
    axes.imshow(picture, **options)
    axes.set_title(caption, fontsize=10)
    axes.axis("off")
