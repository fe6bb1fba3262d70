"""The options of restoring, as one object that the commands pass on to `Restorer`."""

import dataclasses

from unet_deblur_tf.configs import POOLINGS, PRECISIONS, RUNTIMES, SCALES
from unet_deblur_tf.errors import InputError

SMALLEST_TILE = 128  # pixels


@dataclasses.dataclass(frozen=True)
class RestoringOptions:
    """How to restore: keyword arguments of `Restorer`, `deblur` and `evaluate`.

    Attributes:
        pooling: where squeeze-and-excitation takes its means. "local": over a window of 1.5 times the training crop
            (TLC, see `layers.Squeeze`). "global": over the whole picture. "auto": as the network was saved, which is
            the better one of the two as measured after training.
        tile: side of the tiles in pixels. 0 for no tiles; None for no tiles if `memory` is enough for the whole
            picture, else tiles that are as large as `memory` allows.
        memory: bytes that this process should not exceed; None for what it uses already plus half of what is free.
        ensemble: whether to average over the eight flips and quarter turns of the picture, at eight times the cost.
        precision: one of `configs.PRECISIONS`; "auto" for the one that is faster here, see `utils.precision`; None
            for that of the network.
        scales: at how many sizes of the picture the network runs, from coarse to fine, one of `configs.SCALES`, see
            `models.scales`. None for the network's own number, and 2 for a network that was trained at one: blur of
            more than some ten pixels is then removed better, in a quarter more time.
        runtime: what computes, one of `configs.RUNTIMES`, see `runtimes.choose_runtime`.
        strength: above 0 and at most 1, the share of the correction that is applied.

    Raises:
        InputError: if a value is out of range.
    """

    pooling: str = "auto"
    tile: int | None = None
    memory: float | None = None
    ensemble: bool = False
    precision: str | None = None
    scales: int | None = None
    runtime: str = "auto"
    strength: float = 1.0

    def __post_init__(self):
        if self.pooling not in POOLINGS:
            raise InputError(f"--pooling must be one of {', '.join(POOLINGS)}, not {self.pooling}")
        if self.precision not in (None, "auto", *PRECISIONS):
            raise InputError(f"--precision must be auto or one of {', '.join(PRECISIONS)}, not {self.precision}")
        if self.tile is not None and self.tile != 0 and self.tile < SMALLEST_TILE:
            raise InputError(f"--tile must be 0 or at least {SMALLEST_TILE}, not {self.tile}")
        if self.scales not in (None, *SCALES):
            raise InputError(f"--scales must be {SCALES[0]} to {SCALES[-1]} or auto, not {self.scales}")
        if self.runtime not in RUNTIMES:
            raise InputError(f"--runtime must be one of {', '.join(RUNTIMES)}, not {self.runtime}")
        if not 0 < self.strength <= 1:
            raise InputError(f"--strength must be above 0 and at most 1, not {self.strength}")
