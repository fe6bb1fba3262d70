"""Where a network looks: Grad-CAM of the ten layers of the figure, and the gates of squeeze-and-excitation.

Grad-CAM (Selvaraju et al., ICCV 2017) weights the channels of a layer by the mean gradient of a
score with respect to them, adds them up and keeps what is positive: the places whose features raise the
score. A network that puts out pictures has no class to score, so the score is one of `SCORES`.
"""

import sys
from typing import NamedTuple

import keras
import matplotlib
import matplotlib.figure
import numpy as np
import scipy.ndimage
import tensorflow as tf

from unet_deblur_tf.configs import FIGURE_LAYERS
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.models.layers import CELL, Excitation, ReflectPadding2D
from unet_deblur_tf.models.transforms import in_precision, scale_of, squeeze_layers

# tf-keras-vis 0.8.7 imports `zoom` from a namespace that SciPy 2 does away with, and 1 warns of.
sys.modules["scipy.ndimage.interpolation"] = scipy.ndimage

from tf_keras_vis.gradcam import Gradcam  # noqa: E402

SCORES = {
    "correction": "mean |restored - blurred|, how much is corrected",
    "output": "mean of the restored picture, how bright it is",
    "error": "mean |restored - sharp|, how much is still wrong",
}


class Heatmaps(NamedTuple):
    """Grad-CAM of one picture.

    Attributes:
        maps: dict from layer of the figure to float32 `(height, width)`, 0 to 1 unless the
            layer raises the score nowhere, then 0.
        restored: float32 `(height, width, 3)` in 0..1.
        score: float, its value.
    """

    maps: dict
    restored: np.ndarray
    score: float


def heatmaps(network, blurred, score="correction", sharp=None, box=None):
    """Grad-CAM of the ten layers.

    Args:
        network: `keras.Model` as `models.unet` builds it, in any precision.
        blurred: float32 `(height, width, 3)` in 0..1.
        score: key of `SCORES`.
        sharp: like `blurred`, for the score "error".
        box: (x, y, width, height) in pixels, where the score is taken; None for the whole picture.

    Returns:
        `Heatmaps`.

    Raises:
        ValueError: if the score needs a sharp picture and there is none, or the box is not inside the picture.
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
    # Padded as the network would pad it: so each map covers just what was put in, and can be cut to the picture.
    padded = np.asarray(ReflectPadding2D(scale_of(network) * CELL)(blurred[np.newaxis]))
    explain = Gradcam(network)
    maps = {}
    for name in FIGURE_LAYERS:
        cam = explain(
            value, padded, penultimate_layer=output_layer(network, name), seek_penultimate_conv_layer=False,
            normalize_cam=False,
        )[0, :height, :width]  # fmt: skip
        maps[name] = (cam / max(float(cam.max()), 1e-30)).astype(np.float32)
    restored = network(padded, training=False)
    return Heatmaps(maps, np.clip(restored[0, :height, :width], 0, 1), float(value(restored)[0]))


def check_box(box, size):
    """Makes sure that a box (x, y, width, height) lies inside a picture of a size (height, width).

    Raises:
        InputError: if it does not.
    """
    left, top, across, down = box
    height, width = size
    if across < 1 or down < 1 or left < 0 or top < 0 or left + across > width or top + down > height:
        raise InputError(f"box must lie inside the picture of {width}x{height}. Received: box={box!r}")


def output_layer(network, name):
    """The Keras layer whose output is that of a layer of the figure."""
    names = [layer.name for layer in network.layers]
    if name == "out":
        return "out_shuffle" if "out_shuffle" in names else "out_conv"
    return next(each for each in reversed(names) if each.startswith(f"{name}_act"))


def gates(network, blurred):
    """What squeeze-and-excitation multiplies each channel by.

    Args:
        network: `keras.Model`.
        blurred: float32 `(height, width, 3)` in 0..1.

    Returns:
        dict from the layer's name (`up1_se3`: stage `up1`, level 3) to float32 `(channels,)` in 0..1, the
        mean over the picture where pooling is local; empty for a network without.
    """
    layers = [layer for layer in network.layers if isinstance(layer, Excitation)]
    if not layers:
        return {}
    sources = {layer.name: layer.output for layer in squeeze_layers(network)}
    means = keras.Model(network.inputs, sources)(blurred[np.newaxis], training=False)
    found = {}
    for layer in layers:
        mean = means[f"level{layer.name[-1]}_squeeze"]
        found[layer.name] = np.asarray(tf.cast(layer.gate(mean), tf.float32)).mean(axis=(0, 1, 2))
    return found


def sheet(blurred, found, title):
    """One figure: the picture before and after, and ten maps laid over it, with a colour bar.

    Args:
        blurred: as for `heatmaps`.
        found: `Heatmaps`.
        title: str, above it all.
    """
    aspect = blurred.shape[0] / blurred.shape[1]
    figure = matplotlib.figure.Figure(figsize=(16, 3 * 3.1 * aspect + 1.8), layout="constrained")
    figure.suptitle(title)
    above, below = figure.subfigures(2, 1, height_ratios=(1, 2))
    for axes, picture, caption in zip(above.subplots(1, 2), (blurred, found.restored), ("blurred", "restored")):
        _show(axes, picture, caption)
    axes = below.subplots(2, 5)
    grey = blurred.mean(axis=2)
    for place, (number, (name, cam)) in zip(axes.flat, enumerate(found.maps.items(), start=1)):
        _show(
            place,
            np.clip(grey, 0, 1),
            f"{number} {name}" + ("" if cam.max() > 0 else ": raises it nowhere"),
            cmap="gray",
            vmin=0,
            vmax=1,
        )
        overlay = place.imshow(cam, cmap="jet", alpha=0.5, vmin=0, vmax=1)
    below.colorbar(overlay, ax=axes, label="of the layer's largest value", shrink=0.8)
    return figure


def gate_chart(found, title):
    """Bars of the mean gate by stage and level, and below the gate of every channel.

    Args:
        found: what `gates` gives, not empty.
        title: str.
    """
    stages = sorted({name.partition("_")[0] for name in found})
    figure = matplotlib.figure.Figure(figsize=(12, 7), layout="constrained")
    figure.suptitle(title)
    upper, lower = figure.subfigures(2, 1, height_ratios=(3, 4))
    bars = upper.subplots()
    strips = lower.subplots(len(stages), 1, squeeze=False)[:, 0]
    for row, (stage, strip) in enumerate(zip(stages, strips)):
        own = {name.partition("_se")[2]: gate for name, gate in found.items() if name.startswith(f"{stage}_")}
        for level, gate in own.items():
            place = row + (int(level) - 2.5) * 0.2
            bars.bar(place, gate.mean(), 0.18, color=f"C{int(level) - 1}", label=f"level {level}" if row == 0 else None)
            bars.vlines(place, *np.percentile(gate, [10, 90]), color="black", linewidth=1)
        image = strip.imshow(
            np.concatenate(list(own.values()))[np.newaxis], aspect="auto", vmin=0, vmax=1, cmap="viridis"
        )
        for border in np.cumsum([len(gate) for gate in own.values()])[:-1]:
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
