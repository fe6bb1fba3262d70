"""The networks once more, in NumPy, written from the description and not from the Keras code.

`forward(weights, image, ...)` takes `{layer name: [arrays]}` and one float64 picture
`(height, width, 3)`.
"""

import numpy as np


def forward(weights, image, scales=1, **structure):
    """The restored picture of one blurred one, with as many scales, the coarse result guiding the fine pass."""
    if scales == 1:
        return one_pass(weights, image, **structure)
    return one_pass(weights, image, guide_of(weights, image, scales, **structure), **structure)


def guide_of(weights, image, scales, **structure):
    """What the passes at smaller sizes correct, at the size of the picture."""
    if scales == 1:
        return np.zeros_like(image)
    height, width, _ = image.shape
    small = half(image)
    coarse = one_pass(weights, small, guide_of(weights, small, scales - 1, **structure), **structure)
    return upsample(coarse - small)[:height, :width]


def half(image):
    """Means of 2x2 pixels; an odd last row or column is mirrored."""
    height, width, _ = image.shape
    return pool(np.pad(image, [(0, height % 2), (0, width % 2), (0, 0)], mode="reflect"), np.mean)


def blend(image, fine, coarse):
    """The formula of `models.scales` for networks without a guide."""
    height, width, _ = image.shape
    ratio = np.abs(coarse - half(image)).mean() / max(np.abs(fine - image).mean(), 2.5 / 255)
    share = min(max(1.4 * (ratio - 0.6), 0), 1)
    return fine + share * upsample(coarse - half(fine))[:height, :width]


def one_pass(
    weights, image, guide=None, skips="own", attention=False, compress=False, norm="batch", head="residual", slope=0.0,
    scale=1, block="conv", blocks=None, resizing="fixed",
):  # fmt: skip
    """What the network makes of a picture, and of a guide if it takes one."""
    if block == "naf":
        assert (skips, resizing, scale, guide) == ("added", "learned", 1, None)
        return naf(weights, image, blocks, head)

    def activate(x):
        return np.where(x > 0, x, slope * x)

    def normalize(x, name):
        if norm == "none":
            return x
        first, second, *moving = weights[name]
        if norm == "batch":
            mean, variance = moving
            return (x - mean) / np.sqrt(variance + 1e-5) * first + second
        mean = x.mean(axis=-1, keepdims=True)
        variance = x.var(axis=-1, keepdims=True)
        return (x - mean) / np.sqrt(variance + 1e-6) * first + second

    def double_conv(x, name):
        for number in (1, 2):
            x = activate(normalize(conv(x, weights[f"{name}_conv{number}"]), f"{name}_norm{number}"))
        for number in range(1, (blocks or {}).get(name, 0) + 1):
            block = f"{name}_block{number}"
            inside = activate(normalize(conv(x, weights[f"{block}_conv1"]), f"{block}_norm1"))
            x = x + normalize(conv(inside, weights[f"{block}_conv2"]), f"{block}_norm2")
        return x

    height, width, _ = image.shape
    cell = 16 * scale
    padding = [(0, -height % cell), (0, -width % cell), (0, 0)]
    x = image if guide is None else np.concatenate([image, guide], axis=-1)
    x = np.pad(x, padding, mode="reflect")
    # A block's pixels row by row, each with its three colours.
    x = np.concatenate([x[row::scale, column::scale] for row in range(scale) for column in range(scale)], axis=-1)
    levels = []
    x = double_conv(x, "inc")
    for number in (1, 2, 3, 4):
        levels.append(x)
        x = double_conv(pool(x, np.max), f"down{number}")
    for number in (1, 2, 3, 4):
        own = 4 - number
        if skips == "own":
            seen = [levels[own]]
        else:
            seen = [to_level(level, index, own) for index, level in enumerate(levels)]
        if attention:
            seen = [
                squeeze_excitation(level, weights[f"up{number}_se{index}"]) for index, level in enumerate(seen, start=1)
            ]
        if skips == "projected":
            # One 1x1 convolution of everything at the stage's own resolution.
            kernels, biases = zip(*(arrays_of(weights[f"up{number}_project{index}"]) for index in range(5)))
            joined = np.concatenate([upsample(x), *seen], axis=-1)
            x = double_conv(conv(joined, [np.concatenate(kernels, axis=2), sum(biases)]), f"up{number}")
            continue
        seen = np.concatenate(seen, axis=-1)
        if compress:
            for step in (1, 2):
                seen = activate(normalize(seen, f"up{number}_reduce_norm{step}"))
                seen = conv(seen, weights[f"up{number}_reduce_conv{step}"])
        x = double_conv(np.concatenate([seen, upsample(x)], axis=-1), f"up{number}")
    x = conv(x, weights["out_conv"])
    shuffled = np.empty((x.shape[0] * scale, x.shape[1] * scale, 3))
    for row in range(scale):
        for column in range(scale):
            first = 3 * (row * scale + column)
            shuffled[row::scale, column::scale] = x[:, :, first : first + 3]
    x = shuffled[:height, :width]
    return image + x if head == "residual" else 1 / (1 + np.exp(-x))


def arrays_of(arrays):
    """Kernel and bias, 0 where there is none."""
    return arrays if len(arrays) == 2 else (arrays[0], 0.0)


def conv(x, arrays):
    """A "same" convolution as a loop over the kernel's taps."""
    kernel, bias = arrays_of(arrays)
    size = kernel.shape[0]
    height, width, _ = x.shape
    padded = np.pad(x, [(size // 2,) * 2, (size // 2,) * 2, (0, 0)])
    total = np.zeros((height, width, kernel.shape[-1]))
    for row in range(size):
        for column in range(size):
            total += padded[row : row + height, column : column + width] @ kernel[row, column]
    return total + bias


def pool(x, reduce):
    """Reduces each block of 2x2 pixels."""
    height, width, channels = x.shape
    return reduce(x.reshape(height // 2, 2, width // 2, 2, channels), axis=(1, 3))


def upsample(x):
    """Bilinear to twice the size: each output pixel's centre is looked up between the input pixels' centres."""
    for axis in (0, 1):
        size = x.shape[axis]
        place = np.clip((np.arange(2 * size) + 0.5) / 2 - 0.5, 0, size - 1)
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, size - 1)
        share = (place - low).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        x = (1 - share) * np.take(x, low, axis) + share * np.take(x, high, axis)
    return x


def to_level(x, source, target):
    """An encoder level at the resolution of another."""
    for _ in range(source, target):
        x = pool(x, np.mean)
    for _ in range(target, source):
        x = upsample(x)
    return x


def squeeze_excitation(x, arrays):
    """Hu et al., 2018: scale each channel by sigmoid(W2 relu(W1 mean))."""
    squeeze, excite = arrays
    hidden = np.maximum(x.mean(axis=(0, 1)) @ squeeze, 0)
    return x / (1 + np.exp(-(hidden @ excite)))


def naf(weights, image, blocks, head):
    """NAFNet, from its paper: Chen et al., "Simple Baselines for Image Restoration", ECCV 2022, figure 3c."""

    def naf_blocks(x, name):
        for number in range(1, blocks.get(name, 0) + 1):
            x = naf_block(x, dict(parts_of(f"{name}_block{number}")))
        return x

    def parts_of(block):
        return (
            (name.removeprefix(f"{block}_"), arrays) for name, arrays in weights.items() if name.startswith(f"{block}_")
        )

    height, width, _ = image.shape
    x = np.pad(image, [(0, -height % 16), (0, -width % 16), (0, 0)], mode="reflect")
    x = naf_blocks(conv(x, weights["inc_conv1"]), "inc")
    levels = []
    for number in (1, 2, 3, 4):
        levels.append(x)
        kernel, bias = weights[f"down{number}_down"]
        x = sum(x[row::2, column::2] @ kernel[row, column] for row in (0, 1) for column in (0, 1)) + bias
        x = naf_blocks(x, f"down{number}")
    for number in (1, 2, 3, 4):
        x = conv(x, weights[f"up{number}_up"])
        rows, columns, channels = x.shape
        x = x.reshape(rows, columns, 2, 2, channels // 4).transpose(0, 2, 1, 3, 4)
        x = naf_blocks(x.reshape(2 * rows, 2 * columns, channels // 4) + levels[4 - number], f"up{number}")
    x = conv(x, weights["out_conv"])[:height, :width]
    return image + x if head == "residual" else 1 / (1 + np.exp(-x))


def naf_block(x, parts):
    """One block, from its arrays by the names of its parts."""

    def normalize(x, arrays):
        gamma, beta = arrays
        mean, variance = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
        return (x - mean) / np.sqrt(variance + 1e-6) * gamma + beta

    def gate(x):
        half = x.shape[-1] // 2
        return x[..., :half] * x[..., half:]

    y = conv(normalize(x, parts["norm1"]), parts["conv1"])
    kernel, bias = parts["depthwise"]
    height, width, _ = y.shape
    padded = np.pad(y, [(1, 1), (1, 1), (0, 0)])
    taps = [(row, column) for row in range(3) for column in range(3)]
    y = bias + sum(padded[r : r + height, c : c + width] * kernel[r, c, :, 0] for r, c in taps)
    y = gate(y)
    matrix, bias = parts["attention"]
    y = y * (y.mean(axis=(0, 1)) @ matrix + bias)
    x = x + parts["scale1"][0] * conv(y, parts["conv2"])
    y = gate(conv(normalize(x, parts["norm2"]), parts["conv3"]))
    return x + parts["scale2"][0] * conv(y, parts["conv4"])
