"""The networks once more, in PyTorch: what `inference.py` and `training.py` compare with.

Written from the figure and from the docstring of `unet_deblur_tf.models.unet`, as one
would write them in PyTorch, for batch norm, the residual head and ReLU.

    network = build("concat_se").eval()
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


def build(variant):
    """A variant by its name."""
    arguments = dict(VARIANTS[variant])
    if arguments.get("block") == "naf":
        return NAFNet(arguments["widths"], arguments["blocks"])
    scales = arguments.pop("scales", 1)
    return UNet(**arguments) if scales == 1 else TwoScales(UNet(**arguments, guided=True))


class TwoScales(nn.Module):
    """Runs a guided network at half the size first; `unet_deblur_tf.models.scales` explains it."""

    def __init__(self, trunk):
        super().__init__()
        self.trunk = trunk

    def forward(self, image):
        height, width = image.shape[-2:]
        small = F.avg_pool2d(F.pad(image, (0, width % 2, 0, height % 2), mode="reflect"), 2)
        coarse = self.trunk(small, torch.zeros_like(small))
        return self.trunk(image, upsample(coarse - small)[..., :height, :width])


class UNet(nn.Module):
    """A U-Net for image restoration; `unet_deblur_tf.models.unet` explains the arguments.

    Input shape: float32 `(batch, 3, height, width)` in 0..1, any height and width from 16 up.
    Output shape: the same; input + correction, which can leave 0..1 by a little. It is
        float32 under `torch.autocast`, too.
    """

    def __init__(self, skips="own", attention=False, compress=False, widths=WIDTHS, scale=1, blocks=None, guided=False):
        super().__init__()
        blocks = blocks or {}
        self.skips, self.attention, self.scale = skips, attention, scale
        *levels, bottom = widths
        self.multiple = scale * 2 ** len(levels)
        self.inc = DoubleConv((6 if guided else 3) * scale**2, widths[0], widths[0], blocks.get("inc", 0))
        self.downs = nn.ModuleList(
            DoubleConv(above, own, own, blocks.get(f"down{number}", 0))
            for number, (above, own) in enumerate(itertools.pairwise(widths), start=1)
        )
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

    def forward(self, image, guide=None):
        height, width = image.shape[-2:]
        x = image if guide is None else torch.cat([image, guide], 1)
        x = F.pad(x, (0, -width % self.multiple, 0, -height % self.multiple), mode="reflect")
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
    """(3x3 convolution, batch norm, ReLU) twice: to `middle` channels, then to `width`; then residual blocks."""

    def __init__(self, before, middle, width, blocks=0):
        layers = OrderedDict()
        for number, (inputs, outputs) in enumerate(((before, middle), (middle, width)), start=1):
            layers[f"conv{number}"] = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
            layers[f"norm{number}"] = nn.BatchNorm2d(outputs)
            layers[f"act{number}"] = nn.ReLU(inplace=True)
        for number in range(1, blocks + 1):
            layers[f"block{number}"] = ResidualBlock(width)
        super().__init__(layers)


class ResidualBlock(nn.Module):
    """Adds what a 3x3 convolution, ReLU and a 3x3 convolution make of the features, each with its batch norm."""

    def __init__(self, width):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.norm2 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)

    def forward(self, x):
        return x + self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))


class NAFNet(nn.Module):
    """NAFNet (Chen et al., "Simple Baselines for Image Restoration", ECCV 2022); shapes as of `UNet`.

    Args:
        widths: channels of the five resolutions.
        blocks: dict from a layer (`inc`, `down1`, ..., `up4`) to its number of blocks.
    """

    def __init__(self, widths, blocks):
        super().__init__()
        self.counts = blocks
        self.parts = nn.ModuleDict({"inc_conv1": nn.Conv2d(3, widths[0], 3, padding=1)})
        for number, (above, own) in enumerate(itertools.pairwise(widths), start=1):
            self.parts[f"down{number}_down"] = nn.Conv2d(above, own, 2, stride=2)
            self.parts[f"up{len(widths) - number}_up"] = nn.Conv2d(own, 4 * above, 1, bias=False)
        sides = dict(zip(("inc", "down1", "down2", "down3", "down4"), widths))
        sides |= dict(zip(("up4", "up3", "up2", "up1"), widths))
        for name, width in sides.items():
            for number in range(1, blocks.get(name, 0) + 1):
                self.parts[f"{name}_block{number}"] = NAFBlock(width)
        self.parts["out_conv"] = nn.Conv2d(widths[0], 3, 3, padding=1)

    def forward(self, image):
        def blocks(x, name):
            for number in range(1, self.counts.get(name, 0) + 1):
                x = self.parts[f"{name}_block{number}"](x)
            return x

        height, width = image.shape[-2:]
        x = self.parts["inc_conv1"](F.pad(image, (0, -width % 16, 0, -height % 16), mode="reflect"))
        x, levels = blocks(x, "inc"), []
        for number in range(1, 5):
            levels.append(x)
            x = blocks(self.parts[f"down{number}_down"](x), f"down{number}")
        for number in range(1, 5):
            x = blocks(to_pixels(self.parts[f"up{number}_up"](x), 2) + levels.pop(), f"up{number}")
        return image + self.parts["out_conv"](x)[..., :height, :width]


class NAFBlock(nn.Module):
    """A block of NAFNet."""

    def __init__(self, width):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.conv1, self.conv2 = nn.Conv2d(width, 2 * width, 1), nn.Conv2d(width, width, 1)
        self.conv3, self.conv4 = nn.Conv2d(width, 2 * width, 1), nn.Conv2d(width, width, 1)
        self.depthwise = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)
        self.attention = nn.Linear(width, width)
        self.scale1, self.scale2 = ChannelScale(width), ChannelScale(width)

    def forward(self, x):
        y = gate(self.depthwise(self.conv1(over_channels(self.norm1, x))))
        y = self.conv2(y * self.attention(y.mean((2, 3)))[..., None, None])
        x = x + self.scale1(y)
        return x + self.scale2(self.conv4(gate(self.conv3(over_channels(self.norm2, x)))))


class ChannelScale(nn.Module):
    """Multiplies each channel by a number."""

    def __init__(self, width):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(width))

    def forward(self, x):
        return x * self.scale[:, None, None]


def gate(x):
    """Multiplies the first half of the channels by the second."""
    first, second = x.chunk(2, 1)
    return first * second


def over_channels(norm, x):
    """Layer norm over the channels of each pixel."""
    return norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


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
    "scale": "scale",
}


def load_network(variant, path, threads):
    """A variant in channels last, with the weights that `common.keras_weights` gave, from an .npz file.

    Holds PyTorch to so many threads.
    """
    torch.set_num_threads(threads)
    network = build(variant)
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
        # Kernels (height, width, inputs, outputs) to (outputs, inputs, height, width), matrices turned over. Those of a
        # channel each have (height, width, channels, 1).
        order = (2, 3, 0, 1) if layer.endswith("_depthwise") else (3, 2, 0, 1)
        array = array.transpose(order) if array.ndim == 4 else array.T
        state[f"{modules.get(layer, layer)}.{KERAS_NAMES[weight]}"] = torch.tensor(array)
    network.load_state_dict(state)


def _keras_layer(name):
    """The name in Keras: `downs.0.conv1` is `down1_conv1`, `ups.3.merge.conv1` `up4_conv1`.

    `ups.0.attention.se2` is `up1_se2`, and `trunk.` and `parts.` fall away.
    """
    name = re.sub(r"^(trunk|parts)\.", "", name)
    name = re.sub(r"^(down|up)s\.(\d)", lambda match: f"{match[1]}{int(match[2]) + 1}", name)
    name = re.sub(r"\.project\.(\d)", r".project\1", name)
    return re.sub(r"\.(attention|merge)\.", ".", name).replace(".", "_")
