"""The variants on the command line: each is one entry of keyword arguments for `models.unet`.

Plain data, so that scripts can list the names without importing Keras. To add a
variant, add one entry: the command line and every parametrised test pick it up.
"""

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
