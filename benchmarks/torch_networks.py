"""The five networks once more, in PyTorch: what `benchmarks/inference.py` compares with.

Written from the figure and from the docstring of `unet_deblur_tf.models.unet`, as one
would write them in PyTorch, for batch norm, the residual head and ReLU.

    network = UNet(**VARIANTS["concat_se"]).eval()
    load_keras_weights(network, keras_weights(model))
    restored = network(picture)                # float32 (batch, 3, height, width) in 0..1
"""

import itertools
import re
from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import nn

from unet_deblur_tf.variants import WIDTHS


class UNet(nn.Module):
    """A U-Net for image restoration; `unet_deblur_tf.models.unet` explains the arguments.

    Input shape: float32 `(batch, 3, height, width)` in 0..1, any height and width from 16 up.
    Output shape: the same; input + correction, which can leave 0..1 by a little. It is
        float32 under `torch.autocast`, too.
    """

    def __init__(self, skips="own", attention=False, compress=False, widths=WIDTHS):
        super().__init__()
        self.skips, self.attention = skips, attention
        *levels, bottom = widths
        self.multiple = 2 ** len(levels)
        self.inc = DoubleConv(3, widths[0], widths[0])
        self.downs = nn.ModuleList(DoubleConv(above, own, own) for above, own in itertools.pairwise(widths))
        self.ups = nn.ModuleList()
        below = bottom
        for level in reversed(range(len(levels))):
            seen = dict(enumerate(levels)) if skips == "all" else {level: levels[level]}
            above = levels[max(level - 1, 0)]
            self.ups.append(Up(below, seen, levels[level], above, attention, compress))
            below = above
        self.out_conv = nn.Conv2d(below, 3, 1)

    def forward(self, image):
        height, width = image.shape[-2:]
        x = F.pad(image, (0, -width % self.multiple, 0, -height % self.multiple), mode="reflect")
        x = self.inc(x)
        levels = []
        for down in self.downs:
            levels.append(x)
            x = down(F.max_pool2d(x, 2))
        # Of each level at its own resolution: neither pooling nor upsampling changes the mean over the picture.
        means = [level.mean((2, 3)) for level in levels] if self.attention else None
        seen = resize_levels(levels) if self.skips == "all" else [{own: level} for own, level in enumerate(levels)]
        for up in self.ups:
            x = up(x, seen.pop(), means)
        return image + self.out_conv(x)[..., :height, :width]


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


def upsample(x):
    """Doubles height and width by bilinear interpolation."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def resize_levels(levels):
    """All levels at the resolution of each, two-fold at a time: a list, by resolution, of dicts, by level."""
    pyramid = [{} for _ in levels]
    for source, features in enumerate(levels):
        at = {source: features}
        for target in range(source + 1, len(levels)):
            at[target] = F.avg_pool2d(at[target - 1], 2)
        for target in reversed(range(source)):
            at[target] = upsample(at[target + 1])
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


def keras_weights(model):
    """All weights of a `keras.Model`: a dict from `layer/weight`, such as `inc_conv1/kernel`, to arrays."""
    return {f"{layer.name}/{weight.name}": weight.numpy() for layer in model.layers for weight in layer.weights}


def load_keras_weights(network, weights):
    """Loads what `keras_weights` gave into a `UNet`.

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
    return re.sub(r"\.(attention|merge)\.", ".", name).replace(".", "_")
