"""What restoring needs to know of a network to run it in tiles and at several sizes, whatever computes it."""

import dataclasses

# The parts in which a network runs: all of it; or, in tiles with squeeze-and-excitation, first the means of the
# picture's cells, and then the rest, which takes those means.
PARTS = ("whole", "means", "rest")


@dataclasses.dataclass(frozen=True)
class Facts:
    """Properties of a network of one scale, and of how it is combined.

    Attributes:
        name: str, the row of `memory.RESTORING_BYTES`.
        precision: str, the number format of most layers, one of `configs.PRECISIONS`.
        scales: int, at how many sizes of the picture it runs; None for a `ForeignSavedModel`, which has them built in.
        pooling: str, see `transforms.pooling_of`.
        guided: bool, whether it takes a coarse correction beside the picture.
        step: int, pixels: tiles are aligned with its coarsest features.
        radius: int, pixels that it sees around each pixel, see `transforms.receptive_radius`.
        squeezes: for each `Squeeze` layer whose means a tile gets from outside, (window in pixels, or None for the
            whole picture; channels).
    """

    name: str
    precision: str
    scales: int | None
    pooling: str
    guided: bool
    step: int
    radius: int
    squeezes: tuple[tuple[int | None, int], ...]
