"""The networks once more, in PyTorch: what `inference.py` and `training.py` compare with.

Written from the figure and from the docstring of `unet_deblur_tf.models.unet`, as one
would write them in PyTorch, for batch norm, the residual head and ReLU.

    network = UNet(**VARIANTS["concat_se"]).eval()
    load_keras_weights(network, keras_weights(model))
    restored = network(picture)                # float32 (batch, 3, height, width) in 0..1
"""

import itertools
import re
from collections import OrderedDict

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from unet_deblur_tf.configs import VARIANTS, WIDTHS


class UNet(nn.Module):
    """A U-Net for image restoration; `unet_deblur_tf.models.unet` explains the arguments.

    Input shape: float32 `(batch, 3, height, width)` in 0..1, any height and width from 16 up.
    Output shape: the same; input + correction, which can leave 0..1 by a little. It is
        float32 under `torch.autocast`, too.
    """

    def __init__(self, skips="own", attention=False, compress=False, widths=WIDTHS, scale=1):
        super().__init__()
        self.skips, self.attention, self.scale = skips, attention, scale
        *levels, bottom = widths
        self.multiple = scale * 2 ** len(levels)
        self.inc = DoubleConv(3 * scale**2, widths[0], widths[0])
        self.downs = nn.ModuleList(DoubleConv(above, own, own) for above, own in itertools.pairwise(widths))
        self.ups = nn.ModuleList()
        below = bottom
        for level in reversed(range(len(levels))):
            if skips == "projected":
                self.ups.append(ProjectedUp(below, levels, level))
                below = levels[level]
                continue
            seen = dict(enumerate(levels)) if skips == "all" else {level: levels[level]}
            above = levels[max(level - 1, 0)]
            self.ups.append(Up(below, seen, levels[level], above, attention, compress))
            below = above
        self.out_conv = nn.Conv2d(below, 3, 1) if scale == 1 else nn.Conv2d(below, 3 * scale**2, 3, padding=1)

    def forward(self, image):
        height, width = image.shape[-2:]
        x = F.pad(image, (0, -width % self.multiple, 0, -height % self.multiple), mode="reflect")
        x = self.inc(to_channels(x, self.scale))
        levels = []
        for down in self.downs:
            levels.append(x)
            x = down(F.max_pool2d(x, 2))
        # Of each level at its own resolution: neither pooling nor upsampling changes the mean over the picture.
        means = [level.mean((2, 3)) for level in levels] if self.attention else None
        if self.skips == "own":
            seen = [{own: level} for own, level in enumerate(levels)]
        else:
            seen = resize_levels(levels, upwards=self.skips == "all")
        for up in self.ups:
            x = up(x, seen.pop(), means)
        return image + to_pixels(self.out_conv(x), self.scale)[..., :height, :width]


class DoubleConv(nn.Sequential):
    """(3x3 convolution, batch norm, ReLU) twice: to `middle` channels, then to `width`."""

    def __init__(self, before, middle, width):
        layers = OrderedDict()
        for number, (inputs, outputs) in enumerate(((before, middle), (middle, width)), start=1):
            layers[f"conv{number}"] = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
            layers[f"norm{number}"] = nn.BatchNorm2d(outputs)
            layers[f"act{number}"] = nn.ReLU(inplace=True)
        super().__init__(layers)


class Compression(nn.Sequential):
    """(batch norm, ReLU, convolution) twice: 1x1 to four times `width` channels, then 3x3 to `width`."""

    def __init__(self, before, width):
        super().__init__(
            OrderedDict(
                norm1=nn.BatchNorm2d(before),
                act1=nn.ReLU(inplace=True),
                conv1=nn.Conv2d(before, 4 * width, 1, bias=False),
                norm2=nn.BatchNorm2d(4 * width),
                act2=nn.ReLU(inplace=True),
                conv2=nn.Conv2d(4 * width, width, 3, padding=1, bias=False),
            )
        )


class SqueezeExcitation(nn.Module):
    """Scales each channel by a gate in 0..1 that depends on the means of all channels (Hu et al., CVPR 2018)."""

    def __init__(self, channels, ratio=16):
        super().__init__()
        hidden = max(1, channels // ratio)
        self.squeeze = nn.Linear(channels, hidden, bias=False)
        self.excite = nn.Linear(hidden, channels, bias=False)

    def forward(self, x, means):
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(means))))
        return x * gate[..., None, None]


class Up(nn.Module):
    """A decoder stage: the levels it sees, joined with the stage below, upsampled, through a double convolution.

    Args:
        below: int, channels of the stage below.
        seen: dict from level, counted from 0, to its channels.
        middle, width: ints, channels of the double convolution.
        attention, compress: bools, as of `UNet`.
    """

    def __init__(self, below, seen, middle, width, attention, compress):
        super().__init__()
        self.attention = nn.ModuleDict()
        if attention:
            self.attention.update({f"se{level + 1}": SqueezeExcitation(own) for level, own in seen.items()})
        self.reduce = Compression(sum(seen.values()), middle) if compress else None
        self.merge = DoubleConv((middle if compress else sum(seen.values())) + below, middle, width)

    def forward(self, x, seen, means):
        if self.attention:
            seen = {level: self.attention[f"se{level + 1}"](own, means[level]) for level, own in seen.items()}
        seen = list(seen.values())
        if self.reduce:
            seen = [self.reduce(torch.cat(seen, 1))]
        return self.merge(torch.cat([*seen, upsample(x)], 1))


class ProjectedUp(nn.Module):
    """A decoder stage that adds up all levels and the stage below, each brought to its width by a 1x1 convolution.

    Coarser ones are upsampled after that, which is the same and less work.

    Args:
        below: int, channels of the stage below.
        levels: list of ints, channels of the levels.
        own: int, which of them has the stage's resolution.
    """

    def __init__(self, below, levels, own):
        super().__init__()
        self.own = own
        width = levels[own]
        self.project = nn.ModuleList(nn.Conv2d(channels, width, 1, bias=False) for channels in (below, *levels))
        self.merge = DoubleConv(width, width, width)

    def forward(self, x, seen, means):
        at = {self.own + 1: self.project[0](x)}
        for source, project in enumerate(self.project[1:]):
            place = max(self.own, source)
            projected = project(seen[source])
            at[place] = at[place] + projected if place in at else projected
        for place in range(max(at), self.own, -1):
            at[place - 1] = at[place - 1] + upsample(at[place])
        return self.merge(at[self.own])


def to_channels(x, block):
    """Blocks of pixels to channels, a pixel's colours side by side (`F.pixel_unshuffle` parts them)."""
    if block == 1:
        return x
    batch, channels, height, width = x.shape
    x = x.reshape(batch, channels, height // block, block, width // block, block)
    return x.permute(0, 3, 5, 1, 2, 4).reshape(batch, -1, height // block, width // block)


def to_pixels(x, block):
    """The inverse of `to_channels`."""
    if block == 1:
        return x
    batch, _, height, width = x.shape
    x = x.reshape(batch, block, block, -1, height, width)
    return x.permute(0, 3, 4, 1, 5, 2).reshape(batch, -1, height * block, width * block)


def upsample(x):
    """Doubles height and width by bilinear interpolation."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def resize_levels(levels, upwards=True):
    """All levels at the resolution of each, two-fold at a time: a list, by resolution, of dicts, by level.

    If not `upwards`, coarser levels stay as they are.
    """
    pyramid = [{} for _ in levels]
    for source, features in enumerate(levels):
        at = {source: features}
        for target in range(source + 1, len(levels)):
            at[target] = F.avg_pool2d(at[target - 1], 2)
        for target in reversed(range(source)):
            at[target] = upsample(at[target + 1]) if upwards else features
        for target, resized in at.items():
            pyramid[target][source] = resized
    return pyramid


KERAS_NAMES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
    "squeeze": "squeeze.weight",
    "excite": "excite.weight",
}


def load_network(variant, path, threads):
    """A variant in channels last, with the weights that `common.keras_weights` gave, from an .npz file.

    Holds PyTorch to so many threads.
    """
    torch.set_num_threads(threads)
    network = UNet(**VARIANTS[variant])
    with np.load(path) as weights:
        load_keras_weights(network, weights)
    return network.to(memory_format=torch.channels_last)


def load_keras_weights(network, weights):
    """Loads what `common.keras_weights` gave into a `UNet`.

    Raises:
        RuntimeError: if a weight is missing, left over or of another shape.
    """
    modules = {_keras_layer(name): name for name, _ in network.named_modules()}
    state = {}
    for name, array in weights.items():
        layer, weight = name.split("/")
        # Kernels (height, width, inputs, outputs) to (outputs, inputs, height, width), matrices turned over.
        array = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
        state[f"{modules.get(layer, layer)}.{KERAS_NAMES[weight]}"] = torch.tensor(array)
    network.load_state_dict(state)


def _keras_layer(name):
    """`downs.0.conv1` in Keras is `down1_conv1`, `ups.3.merge.conv1` `up4_conv1`, `ups.0.attention.se2` `up1_se2`."""
    name = re.sub(r"^(down|up)s\.(\d)", lambda match: f"{match[1]}{int(match[2]) + 1}", name)
    name = re.sub(r"\.project\.(\d)", r".project\1", name)
    return re.sub(r"\.(attention|merge)\.", ".", name).replace(".", "_")
