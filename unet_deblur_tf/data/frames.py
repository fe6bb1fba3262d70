"""Pairs from the frames of a fast camera, averaged as GoPro's authors averaged theirs.

    train.py --data frames --data-dir GOPRO_Large_all/       a folder of folders of consecutive frames
    train.py --data frames --data-dir slow-motion/           video files of a fast camera

The blurred picture is the mean of 7, 9, 11 or 13 consecutive frames, the sharp one is the middle frame: Nah, Kim, Lee,
"Deep Multi-scale Convolutional Neural Network for Dynamic Scene Deblurring", CVPR 2017 (240 frames a second). For
training, frames are averaged as they are needed: each time with another number of frames around another middle, which
depends on the seed and the step alone. Validation and test pairs are fixed.
"""

import dataclasses
import functools
import hashlib
import os
import re
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from unet_deblur_tf.data.pairs import Pair, choose_split
from unet_deblur_tf.data.pictures import find_pictures, picture_size, read_picture
from unet_deblur_tf.data.store import PictureStore
from unet_deblur_tf.data.trees.layouts import read_words, split_of
from unet_deblur_tf.data.video_frames import SUFFIXES, extract_frames
from unet_deblur_tf.errors import InputError

COUNTS = (7, 9, 11, 13)  # frames that are averaged
REACH = max(COUNTS) // 2
GAMMAS = {"blur": 1.0, "blur_gamma": 2.2}  # of `--blur`: the mean of the frames as they are encoded, or of their light
HELD_OUT = 0.1  # share of the frames of sequences too few to hold whole ones out, for validation and for test


class Frame(NamedTuple):
    """A frame, in the form in which stores take what they keep.

    Attributes:
        path: `Path` of its file.
        size: (width, height), None before it is measured.
    """

    path: Path
    size: tuple | None = None

    @property
    def pictures(self):
        """The pictures that belong together: this one alone."""
        return (self.path,)


class AveragedPicture(NamedTuple):
    """The mean of some frames; `pictures.read_picture` and `picture_size` take it for a path.

    Attributes:
        paths: tuple of `Path`.
        gamma: float, of the encoding that is undone before averaging, 1 for none.
        size: (width, height).
    """

    paths: tuple
    gamma: float
    size: tuple

    def __str__(self):
        return f"the mean of {len(self.paths)} frames from {self.paths[0]} on"

    def read(self):
        """uint8 `(height, width, 3)`."""
        return average([read_picture(path) for path in self.paths], self.gamma)


def average(pictures, gamma=1.0):
    """The mean of pictures, rounded.

    Args:
        pictures: list of uint8 `(height, width, 3)`.
        gamma: float, see `AveragedPicture`.

    Returns:
        uint8 `(height, width, 3)`.
    """
    if gamma == 1:
        total = np.zeros(pictures[0].shape, np.uint16)
        for picture in pictures:
            cv2.add(total, picture, dst=total, dtype=cv2.CV_16U)
        return ((total + len(pictures) // 2) // len(pictures)).astype(np.uint8)
    light = ((np.arange(256) / 255) ** gamma).astype(np.float32)
    total = sum(light[picture] for picture in pictures) / len(pictures)
    return np.round(255 * total ** (1 / gamma)).astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class Sequence:
    """Consecutive frames of one recording.

    Attributes:
        name: str, its folder or file below the data's.
        split: "train", "val", "test" or "".
        frames: tuple of `Path` in order.
        size: (width, height) of all of them.
    """

    name: str
    split: str
    frames: tuple
    size: tuple

    def part(self, split):
        """The sequence's frames for one split: the last ones are for test, those before for validation."""
        count = len(self.frames)
        held = max(max(COUNTS), round(HELD_OUT * count))
        places = {
            "train": (0, count - 2 * held),
            "val": (count - 2 * held, count - held),
            "test": (count - held, count),
        }
        return dataclasses.replace(self, frames=self.frames[slice(*places[split])])


@dataclasses.dataclass(frozen=True)
class FramePairs:
    """Pairs averaged from frames, see `open_frames`.

    Attributes:
        root: the folder.
        sequences: list of `Sequence`.
        gamma: see `AveragedPicture`.
    """

    root: Path
    sequences: list
    gamma: float
    synthesised = False
    pictures_per_pair = max(COUNTS)  # that are decoded to make one

    @property
    def summary(self):
        """One line that says what the pairs are."""
        count = sum(len(sequence.frames) for sequence in self.sequences)
        how = "as they are encoded" if self.gamma == 1 else f"in linear light (gamma {self.gamma:g})"
        lengths = ", ".join(map(str, COUNTS))
        return (
            f"{self.root}: {len(self.sequences)} sequences of {count} frames, such as {self.sequences[0].name}; "
            f"blurred pictures are means of {lengths} frames, averaged {how}"
        )

    def parts(self, split):
        """The sequences of one split: those in folders that name it, some held out, or a part of each."""
        by_split = {}
        for sequence in self.sequences:
            by_split.setdefault(sequence.split, []).append(sequence)
        if len(self.sequences) < 3 and set(by_split) == {""}:
            parts = [sequence.part(split) for sequence in self.sequences if len(sequence.frames) >= 3 * max(COUNTS)]
            if not parts:
                raise InputError(
                    f"{self.root} has too few frames: {3 * max(COUNTS)} in a row are needed, {max(COUNTS)} each to "
                    "train on, to validate with and to score"
                )
            return parts
        return choose_split(by_split, split, lambda _: lambda sequence: sequence.name, self.root)

    def pairs(self, split):
        """The pairs of one split.

        Args:
            split: "train", where each frame with enough neighbours is the middle of a pair (see `FrameStore` for what
                training makes of them); "val" or "test", where pairs lie end to end and have varying lengths.

        Returns:
            A list of `Pair`, never empty.

        Raises:
            InputError: if there are too few frames; for "all".
        """
        if split == "all":
            raise InputError("--split all is for pairs; of frames any number of pairs could be made")
        make = self._around_every_frame if split == "train" else self._end_to_end
        return [pair for sequence in self.parts(split) for pair in make(sequence)]

    def _around_every_frame(self, sequence):
        return [self._pair(sequence, middle, max(COUNTS)) for middle in range(REACH, len(sequence.frames) - REACH)]

    def _end_to_end(self, sequence):
        rng = np.random.default_rng(int.from_bytes(hashlib.sha256(sequence.name.encode()).digest()[:8], "big"))
        found, start = [], 0
        while start + max(COUNTS) <= len(sequence.frames):
            count = int(rng.choice(COUNTS))
            found.append(self._pair(sequence, start + count // 2, count))
            start += count
        return found

    def _pair(self, sequence, middle, count):
        frames = sequence.frames[middle - count // 2 : middle + count // 2 + 1]
        blurred = AveragedPicture(frames, self.gamma, sequence.size)
        return Pair(sequence.name, sequence.frames[middle].stem, blurred, sequence.frames[middle], sequence.size)

    def kept(self, pairs):
        """What a cache keeps for these training pairs: the frames, each once."""
        paths = dict.fromkeys(path for pair in pairs for path in pair.blur.paths)
        return [Frame(path, pairs[0].size) for path in paths]

    def training_store(self, frames, pairs):
        """The `FrameStore` of these pairs on a store of what `kept` gave."""
        return FrameStore(frames, pairs, self.gamma)


class FrameStore(PictureStore):
    """Training pairs by number, averaged from frames when they are asked for.

    Args:
        frames: `PictureStore` of `Frame`s.
        pairs: list of `Pair` whose blurred side is an `AveragedPicture` of as many frames as any.
        gamma: see `AveragedPicture`.
    """

    def __init__(self, frames, pairs, gamma=1.0):
        super().__init__(pairs)
        self.frames, self.gamma = frames, gamma
        self._numbers = {frame.path: number for number, frame in enumerate(frames.pairs)}

    @property
    def error(self):
        """The first `InputError` met while reading."""
        return self.frames.error

    @error.setter
    def error(self, value):
        pass

    def crop(self, number, place, size, chance=0.5):
        """A square of a pair; see `PictureStore.crop`. `chance` decides how many frames are averaged."""
        paths = self.pairs[number].blur.paths
        middle, count = len(paths) // 2, COUNTS[int(chance * len(COUNTS))]
        some = paths[middle - count // 2 : middle + count // 2 + 1]
        crops = [self.frames.crop(self._numbers[path], place, size)[0] for path in some]
        return np.stack([average(crops, self.gamma), crops[count // 2]])


def open_frames(root, blur=None, cache_dir=None):
    """Finds the sequences below a folder.

    Args:
        root: `Path` of a folder with folders of consecutive frames, called in their order, or with video files, whose
            frames are written to the cache once.
        blur: "blur" or None averages the frames as they are encoded, "blur_gamma" their light.
        cache_dir: where the frames of videos are kept, the user's cache folder by default.

    Returns:
        A `FramePairs`.

    Raises:
        InputError: if there are no sequences of enough frames.
    """
    if (blur or "blur") not in GAMMAS:
        raise InputError(f"--blur {blur}: frames are averaged by {' or '.join(GAMMAS)}")
    folders = {}
    for path in find_pictures(root, recursive=True):
        folders.setdefault(path.parent, []).append(path)
    sequences = [
        Sequence(*_name_and_split(root, folder), tuple(sorted(paths, key=_in_order)), picture_size(paths[0]))
        for folder, paths in folders.items()
        if len(paths) >= max(COUNTS)
    ]
    for path in find_videos(root):
        frames = extract_frames(path, cache_dir)
        if len(frames) >= max(COUNTS):
            sequences.append(Sequence(*_name_and_split(root, path), tuple(frames), picture_size(frames[0])))
    if not sequences:
        largest = max(map(len, folders.values()), default=0)
        raise InputError(
            f"No frames of a fast camera in {root}: it takes folders of at least {max(COUNTS)} consecutive frames "
            f"(the largest has {largest} pictures), or videos ({', '.join(sorted(SUFFIXES))})"
        )
    return FramePairs(root, sequences, GAMMAS[blur or "blur"])


def find_videos(root):
    """The video files below a folder, sorted."""
    found = [Path(parent, name) for parent, _, names in os.walk(root, followlinks=True) for name in names]
    return sorted(path for path in found if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))


def _name_and_split(root, path):
    parts = path.relative_to(root).parts or (path.resolve().name,)
    return "/".join(part for part in parts if not read_words(part).split), split_of(parts)


@functools.lru_cache(maxsize=65536)
def _in_order(path):
    """Frame 9 before frame 10, also where numbers have no leading zeros."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]
