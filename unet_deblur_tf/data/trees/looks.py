"""What pictures look like: whether two show the same scene, and which of two is sharper.

Names say which pictures are pairs. Looks are for what names cannot say, and to find out that names have misled.
"""

import statistics

import cv2
import numpy as np

from unet_deblur_tf.data.pairs import evenly_spaced
from unet_deblur_tf.data.pictures import picture_size, read_picture
from unet_deblur_tf.errors import InputError

# Likeness of the two pictures of a pair, and of the halves of a photo. Of 100 crops of GoPro pairs, with blur of up to
# 50 pixels in a crop of 256, it was 0.59 at least; of the halves of 87 photos, 0.26 at most.
ALIKE = 0.5
UNLIKE = 0.3
HEIGHT = 64  # pixels, to which pictures are reduced, which leaves little of most blur
LARGEST_DETAIL = 8  # pixels of them; larger ones, such as a bright sky over dark ground, make any two photos alike
FLAT = 0.5  # levels of 255: a standard deviation below it shows no detail
SHARPER = 1.2  # times the mean difference of neighbouring pixels
HALVES, PAIRS = 9, 3  # how many are looked at
SMALLEST = 16  # pixels: nothing is said of smaller ones


def likeness(one: np.ndarray, other: np.ndarray) -> float | None:
    """How much two pictures look alike: the correlation of their details, after both were reduced.

    Args:
        one, other: uint8 or float32 `(height, width, 3)` of the same size, in levels of 255.

    Returns:
        Correlation in -1..1, or None if one of them has no detail.
    """
    details = [_details(picture) for picture in (one, other)]
    if min(each.std() for each in details) < FLAT:
        return None
    return float(np.corrcoef(*map(np.ravel, details))[0, 1])


def _details(picture):
    height, width, _ = picture.shape
    small = (min(max(1, round(width * HEIGHT / height)), 16 * HEIGHT), HEIGHT)
    grey = cv2.resize(picture.mean(axis=2, dtype=np.float32), small, interpolation=cv2.INTER_AREA)
    return grey - cv2.GaussianBlur(grey, (0, 0), LARGEST_DETAIL)


def first_of_two_halves(paths: list):
    """The first of some picture files, if in most of them the left half shows what the right half shows; else None."""
    some = evenly_spaced(paths, HALVES)
    likenesses = [_likeness_of_halves(path) for path in some]
    known = [each for each in likenesses if each is not None]
    alike = [each for each in known if each > ALIKE]
    return some[0] if 2 * len(alike) > len(known) and 2 * len(known) > len(some) else None


def _likeness_of_halves(path):
    """The likeness of the halves of a picture file; None if it cannot be halved or read, or has no detail."""
    try:
        width, height = picture_size(path)
        if width % 2 or width < 0.8 * height:
            return None
        picture = read_picture(path)
    except InputError:
        return None  # it is named when it is used
    left, right = picture[:, : width // 2], picture[:, width // 2 :]
    return likeness(*(_without_rows(half) for half in (left, right)))


def _without_rows(picture):
    """A picture without the mean of each row: a horizon, or black bars above and below, are in both halves."""
    return picture - picture.mean(axis=1, keepdims=True, dtype=np.float32)


def may_show_the_same(twins: list) -> bool:
    """Whether twins of picture files could each show one scene: they are of one size, and alike if they have detail.

    Args:
        twins: list of two paths each, of which some are looked at.

    Returns:
        bool, whether most of them could.
    """
    some = evenly_spaced(twins, PAIRS)
    alike = [likeness(*both) for both in map(_read, some) if both]
    return 2 * len([each for each in alike if each is None or each > UNLIKE]) > len(some)


def doubts(splits: dict[str, list]) -> list[str]:
    """Looks at some pairs, and says what is odd about them.

    Args:
        splits: dict from splits to lists of `Pair`.

    Returns:
        List of str, empty if they look like a blurred and a sharp picture of the same scene.
    """
    pairs = [pair for each in splits.values() for pair in each]
    looked = [both for pair in evenly_spaced(pairs, PAIRS) if (both := _read(pair.pictures))]
    looked = [both for both in looked if min(both[0].shape[:2]) >= SMALLEST]
    alike = [each for both in looked if (each := likeness(*both)) is not None]
    if alike and statistics.median(alike) < UNLIKE:
        return ["the two pictures of a pair do not look alike: do they belong together?"]
    sharper = [_sharpness(blurred) > SHARPER * _sharpness(sharp) for blurred, sharp in looked]
    if sharper and all(sharper):
        return ["the blurred pictures look sharper than the sharp ones: are they the wrong way round?"]
    return []


def _read(pictures):
    """Two pictures; None if one cannot be read or they differ in size, which is said later."""
    try:
        one, other = map(read_picture, pictures)
    except InputError:
        return None
    return (one, other) if one.shape == other.shape else None


def _sharpness(picture):
    """The mean difference of neighbouring pixels."""
    grey = cv2.GaussianBlur(picture.mean(axis=2, dtype=np.float32), (0, 0), 1)  # without most of its noise
    return float(np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean())
