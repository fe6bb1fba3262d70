"""Variants, recipes and all lists of choices, as plain data, so that the command line works without importing Keras.

To add a variant, add an entry to `VARIANTS`: the command line and every parametrised test pick it up.
"""

import dataclasses

# Channels of the encoder, layers 1-5 of the figure. The decoder mirrors them.
WIDTHS = (32, 64, 128, 256, 256)

# The ten layers in the original student project's figure, in order. The name of each Keras layer with weights begins
# with one of them.
FIGURE_LAYERS = ("inc", "down1", "down2", "down3", "down4", "up1", "up2", "up3", "up4", "out")

# These layers compute the picture itself. They use float32 under every precision policy.
PICTURE_LAYERS = ("out_crop", "out_add", "out_sigmoid")

# The arguments of `models.unet.unet`. Parameters and GMACs (10^9 multiply-accumulates of the convolutions at 224x224)
# are those with batch norm.
VARIANTS: dict[str, dict] = {
    # 4,318,467 parameters, 7.678 GMACs: each decoder stage receives the encoder level of its own resolution.
    "unet": dict(skips="own"),
    # 5,608,707 parameters, 18.834 GMACs: each decoder stage receives all four encoder levels.
    "concat": dict(skips="all"),
    # 5,652,227 parameters: squeeze-and-excitation on each of the four levels.
    "concat_se": dict(skips="all", attention=True),
    # 8,381,187 parameters, 20.857 GMACs: the four levels are compressed to the stage's width.
    "concat_reduce": dict(skips="all", compress=True),
    # 8,424,707 parameters: squeeze-and-excitation, then compression.
    "concat_reduce_se": dict(skips="all", attention=True, compress=True),
    # 7,861,347 parameters, 10.519 GMACs: "unet" with residual blocks at a sixteenth of the resolution. It restores the
    # picture at half the size first, and then the picture itself, with the coarse result as a second input.
    "multiscale": dict(skips="own", blocks={"down4": 3}, scales=2),
    # 17,111,907 parameters, 12.215 GMACs: NAFNet at width 32, for training on GoPro with a GPU.
    "naf": dict(
        skips="added",
        block="naf",
        resizing="learned",
        widths=(32, 64, 128, 256, 512),
        blocks={"down3": 28, **dict.fromkeys(("inc", "down1", "down2", "down4", "up1", "up2", "up3", "up4"), 1)},
    ),
    # 1,058,572 parameters, 1.763 GMACs: the small network. It works at half the resolution, where a convolution costs a
    # quarter. It is narrow where "unet" has most of its parameters (down4, up1), and it projects all levels.
    "lite": dict(skips="projected", scale=2, widths=(48, 64, 96, 96, 64)),
}

SKIPS = ("own", "all", "added", "projected")

BLOCKS = ("conv", "naf")

RESIZINGS = ("fixed", "learned")

NORMS = ("batch", "layer", "none")

HEADS = ("residual", "sigmoid")

ACTIVATIONS = ("relu", "leaky_relu")

# A flag of `train.py` overrides the setting of the same name.
RECIPES: dict[str, dict] = {
    # Muon, cosine decay after a warm-up. docs/results.md lists the runs that led to it.
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
    # The settings with which NAFNet's authors trained it on GoPro, for 200,000 steps (Chen et al., ECCV 2022, and their
    # options/train/GoPro/NAFNet-width32.yml). For the variant "naf", which ignores norm and activation.
    "naf": dict(
        norm="none",
        head="residual",
        activation="relu",
        loss="psnr",
        optimizer="adamw-naf",
        learning_rate=1e-3,
        schedule="cosine-naf",
        batch_size=32,
    ),
    # The recipe of the original student project: 1 - SSIM, Adam 1e-3, ReduceLROnPlateau with a patience of 2 epochs.
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

# Choices of `train.py --loss`: the weights of the functions in `training/losses.py`, named without `_loss`.
LOSSES: dict[str, dict[str, float]] = {
    "ssim": dict(ssim=1),
    "l1": dict(l1=1),
    "charbonnier": dict(charbonnier=1),
    "psnr": dict(psnr=1),
    "ssim+l1": dict(ssim=1, l1=1),
    "ssim+charbonnier": dict(ssim=1, charbonnier=1),
    "l1+fourier": dict(l1=1, fourier=0.1),
    "ssim+l1+fourier": dict(ssim=1, l1=1, fourier=0.1),
}

# AdamW and Muon use weight decay 1e-4 and clip gradients to norm 1. "adamw-naf" has NAFNet's settings: betas of 0.9 and
# 0.9, no weight decay, gradients clipped to norm 0.01. Adam uses Keras' defaults.
OPTIMIZERS = ("adam", "adamw", "muon", "adamw-naf")

# "cosine" warms up and falls to 1 % of the rate. "cosine-naf", NAFNet's, has no warm-up and falls to a ten-thousandth.
SCHEDULES = ("cosine", "cosine-naf", "plateau")

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")

# Pooling of squeeze-and-excitation. "auto" is the pooling that scored higher after training.
POOLINGS = ("auto", "local", "global")

# Pixels: local means are taken on a grid of squares of this side, and tiles are aligned with it.
CELL = 16

# What computes when pictures are restored, see `restoring/runtimes/`. "auto" chooses.
RUNTIMES = ("auto", "tensorflow", "onnxruntime", "openvino")

# At how many sizes of the picture a network can run, see `models/scales.py`.
SCALES = (1, 2, 3)

# Where decoded training pictures are kept, see `data/store.py`.
CACHES = ("memory", "disk", "none")

# What a folder of data can hold, see `data/trees/tree.py`.
DATA_KINDS = ("pairs", "photos", "side-by-side")
# How pictures are scored, see `evaluation/scoring.py`.
PROTOCOLS = ("full", "aligned", "original")

EXPORT_FORMATS = ("savedmodel", "onnx", "openvino", "litert")


@dataclasses.dataclass(frozen=True)
class Difficulty:
    """Size and blur of synthesised pictures.

    Attributes:
        width, height: size of the pictures in pixels.
        blur: (shortest, longest) path of the camera during the exposure, in pixels; drawn log-uniformly.
        rotation: standard deviation of the camera's rotation during the exposure, in degrees.
        objects: largest number of objects that move independently of the camera.
        gamma: gamma of the encoding; frames are averaged in linear light. With 1 the encoded frames are averaged, as in
            GoPro's `blur` folder: its blurred pictures keep the mean level of the sharp ones to within 0.2 of 255,
            while those of `blur_gamma` are brighter by 1.8 of 255.
        noise: largest standard deviation of the sensor noise at mid-grey, in levels of 255.
        unblurred: share of the training pairs without motion, from which the network learns to leave sharp pictures
            unchanged. Validation and test pairs are all blurred.
        scenes: dict from the split ("train", "val", "test") to its number of pairs.
        forward: standard deviation of the camera's forward motion during the exposure, as a fraction of the distance to
            the scene.
        frames: numbers of separate frames of a fast camera, one of which makes the exposure, see
            `data/synthesis/fast_camera.py`. They are averaged as encoded, and `gamma` is not used. None for a
            continuous exposure.
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
    frames: tuple[int, ...] | None = None

    def with_training_pairs(self, count: int) -> "Difficulty":
        """A copy with another number of training pairs."""
        return dataclasses.replace(self, scenes={**self.scenes, "train": count})


DIFFICULTIES = {
    # Small pictures, blur of a few pixels: a few minutes of training on a CPU show a gain.
    "quick": Difficulty(
        width=160, height=160, blur=(2, 6), rotation=0.3, objects=2, gamma=2.2, noise=1.0, unblurred=0.1,
        scenes={"train": 480, "val": 24, "test": 48},
    ),
    # Small and large blur together: a fresh network learns nothing from large blur alone for a long time.
    "mixed": Difficulty(
        width=384, height=384, blur=(2, 24), rotation=0.4, objects=2, gamma=1.0, noise=1.0, unblurred=0.1,
        scenes={"train": 600, "val": 24, "test": 48},
    ),
    # Size and blur of GoPro's test set: means of separate frames.
    "gopro": Difficulty(
        width=1280, height=720, blur=(10, 50), rotation=0.3, objects=2, gamma=1.0, noise=1.0, unblurred=0.1,
        scenes={"train": 200, "val": 12, "test": 24}, frames=(7, 9, 11, 13),
    ),
    # The same length of blur in one continuous exposure, as photos have it.
    "large": Difficulty(
        width=1280, height=720, blur=(10, 50), rotation=0.3, objects=2, gamma=1.0, noise=1.0, unblurred=0.1,
        scenes={"train": 200, "val": 12, "test": 24},
    ),
}  # fmt: skip
