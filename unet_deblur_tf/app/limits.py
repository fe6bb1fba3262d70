"""What one visitor may ask of the page."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits that keep the page usable for everyone.

    Attributes:
        megapixels: float, millions of pixels of a photo.
        megabytes: int, millions of bytes of a file.
        files: int, photos that are restored together.
        waiting: int, restorations that wait for their turn; one runs at a time.
        minutes: int, how long photos and results are kept.
    """

    megapixels: float = 50
    megabytes: int = 100
    files: int = 20
    waiting: int = 10
    minutes: int = 60
