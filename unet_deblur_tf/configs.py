"""Variants, recipes and every list of choices: plain data, so that the command line need not import Keras.

To add a variant, add one entry to `VARIANTS`: the command line and every parametrised test pick it up.
"""

import dataclasses

# The encoder's widths, layers 1-5 of the figure. The decoder mirrors them.
WIDTHS = (32, 64, 128, 256, 256)

# The ten layers of the figure, in order: the names of Keras layers with weights begin with one of them.
FIGURE_LAYERS = ("inc", "down1", "down2", "down3", "down4", "up1", "up2", "up3", "up4", "out")

# GMACs: multiply-accumulates of the convolutions at 224x224, in 10^9, batch norm.
VARIANTS = {
    # 4,318,467 parameters, 7.678 GMACs: every decoder stage sees the encoder level of its own resolution.
    "unet": dict(skips="own"),
    # 5,608,707 parameters, 18.834 GMACs: every decoder stage sees all four encoder levels.
    "concat": dict(skips="all"),
    # 5,652,227 parameters: channel attention on each of the four levels.
    "concat_se": dict(skips="all", attention=True),
    # 8,381,187 parameters, 20.857 GMACs: the four levels compressed to the stage's width.
    "concat_reduce": dict(skips="all", compress=True),
    # 8,424,707 parameters: attention, then compression.
    "concat_reduce_se": dict(skips="all", attention=True, compress=True),
    # 1,058,572 parameters, 1.763 GMACs: our light one. It works at half the resolution, where a convolution costs a
    # quarter, is thin where the plain network has most of its parameters (down4, up1), and projects all levels.
    "lite": dict(skips="projected", scale=2, widths=(48, 64, 96, 96, 64)),
}

SKIPS = ("own", "all", "projected")

NORMS = ("batch", "layer", "none")

HEADS = ("residual", "sigmoid")

ACTIVATIONS = ("relu", "leaky_relu")

# Every setting of a recipe can be overridden by the flag of the same name.
RECIPES = {
    # Muon, cosine decay after a warm-up. docs/results.md holds the runs that chose it.
    "default": dict(
        norm="none",
        head="residual",
        activation="leaky_relu",
        loss="ssim+l1+fourier",
        optimizer="muon",
        learning_rate=1e-3,
        schedule="cosine",
        batch_size=4,
    ),
    # The original student project's: 1 - SSIM, Adam 1e-3, ReduceLROnPlateau with a patience of 2 epochs.
    "original": dict(
        norm="batch",
        head="sigmoid",
        activation="relu",
        loss="ssim",
        optimizer="adam",
        learning_rate=1e-3,
        schedule="plateau",
        batch_size=4,
    ),
}

# `train.py --loss`: weighted sums of the losses in `losses.py`, named as there without `_loss`.
LOSSES = {
    "ssim": dict(ssim=1),
    "l1": dict(l1=1),
    "charbonnier": dict(charbonnier=1),
    "ssim+l1": dict(ssim=1, l1=1),
    "ssim+charbonnier": dict(ssim=1, charbonnier=1),
    "l1+fourier": dict(l1=1, fourier=0.1),
    "ssim+l1+fourier": dict(ssim=1, l1=1, fourier=0.1),
}

# AdamW and Muon with weight decay 1e-4 and gradients clipped to norm 1, Adam as it is.
OPTIMIZERS = ("adam", "adamw", "muon")

SCHEDULES = ("cosine", "plateau")

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")

# Of squeeze-and-excitation when restoring; "auto" is what scored higher after training.
POOLINGS = ("auto", "local", "global")

# Where decoded training pictures are kept, see `data/store.py`.
CACHES = ("memory", "disk", "none")
# How pictures are scored, see `evaluation/evaluate.py`.
PROTOCOLS = ("full", "original")
EXPORT_FORMATS = ("savedmodel", "onnx", "litert")


@dataclasses.dataclass(frozen=True)
class Difficulty:
    """How large the pictures are and how hard they are blurred.

    Attributes:
        width, height: of the pictures, in pixels.
        blur: shortest and longest path of the camera during the exposure, in pixels;
            drawn log-uniformly.
        rotation: standard deviation of the camera's turn during the exposure, in degrees.
        objects: largest number of objects that move on their own.
        gamma: of the encoding; the average is taken in linear light. 1 averages the
            encoded pictures, as GoPro's `blur` folder does (its blurred pictures keep
            the mean level of the sharp ones to 0.2 of 255, those of `blur_gamma` are
            1.8 brighter).
        noise: largest standard deviation of the sensor noise at mid-grey, in levels of 255.
        unblurred: share of the training pairs without motion, so that the network
            learns to leave sharp pictures alone. None in validation and test pairs.
        scenes: number of pairs of the splits (train, val, test).
        forward: standard deviation of the camera's way forward during the exposure, as
            a part of the distance of what it sees.
    """

    width: int
    height: int
    blur: tuple[float, float]
    rotation: float
    objects: int
    gamma: float
    noise: float
    unblurred: float
    scenes: dict[str, int]
    forward: float = 0.0

    def with_training_pairs(self, count):
        """The same with another number of pairs to train on."""
        return dataclasses.replace(self, scenes={**self.scenes, "train": count})


DIFFICULTIES = {
    # Small pictures, blur of a few pixels: minutes on a CPU show a gain.
    "quick": Difficulty(
        width=160, height=160, blur=(2, 6), rotation=0.3, objects=2, gamma=2.2, noise=1.0, unblurred=0.1,
        scenes={"train": 480, "val": 24, "test": 48},
    ),
    # Small and large blur side by side: large blur alone teaches a fresh network nothing for a long while.
    "mixed": Difficulty(
        width=384, height=384, blur=(2, 24), rotation=0.4, objects=2, gamma=1.0, noise=1.0, unblurred=0.1,
        scenes={"train": 600, "val": 24, "test": 48},
    ),
    # The size and the blur of GoPro's test set.
    "gopro": Difficulty(
        width=1280, height=720, blur=(10, 50), rotation=0.3, objects=2, gamma=1.0, noise=1.0, unblurred=0.1,
        scenes={"train": 200, "val": 12, "test": 24},
    ),
}  # fmt: skip
