"""Pairs made by averaging the frames of a high-speed camera, as the authors of GoPro made theirs.

    train.py --data frames --data-dir GOPRO_Large_all/       a folder of folders of consecutive frames
    train.py --data frames --data-dir slow-motion/           video files of a high-speed camera

The blurred picture is the mean of 7, 9, 11 or 13 consecutive frames, and the sharp picture is the middle frame. During
training, frames are averaged on the fly. The middle frame and the number of frames change from crop to crop, and depend
only on the seed and the step. Validation and test pairs are fixed.

References:
    Nah, Kim, Lee, "Deep Multi-scale Convolutional Neural Network for Dynamic Scene Deblurring", CVPR 2017 (240 frames
    per second).
"""

import dataclasses
import functools
import itertools
import re
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from unet_deblur_tf.data.pairs import Pair, choose_split, common_size, digest_of
from unet_deblur_tf.data.pictures import each_once, find_files, find_pictures, read_picture
from unet_deblur_tf.data.store import PictureStore
from unet_deblur_tf.data.trees.refusals import require_clear_splits
from unet_deblur_tf.data.trees.splits import Splits
from unet_deblur_tf.data.trees.unnamed import means_blurred
from unet_deblur_tf.data.video_frames import extract_frames
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.utils.formats import VIDEOS, is_video

COUNTS = (7, 9, 11, 13)  # numbers of frames that are averaged
REACH = max(COUNTS) // 2  # largest number of frames on either side of the middle frame
GAMMAS = {"blur": 1.0, "blur_gamma": 2.2}  # from `--blur` to the gamma that is undone before averaging, 1 for none
ONE_SIZE = ": the frames of a folder are averaged, so they need one size; put those of another size into another folder"
HELD_OUT = 0.1  # share of each sequence for validation, and for test, if there are too few to hold out whole sequences


class Frame(NamedTuple):
    """A frame as an item that a `PictureStore` keeps.

    Attributes:
        path: `Path` of its file.
        size: (width, height), None before `measure_pairs`.
    """

    path: Path
    size: tuple[int, int] | None = None

    @property
    def pictures(self) -> tuple[Path]:
        """The pictures of this item: one frame."""
        return (self.path,)


class AveragedPicture(NamedTuple):
    """The mean of several frames. `pictures.read_picture` and `pictures.picture_size` accept it like a path.

    Attributes:
        paths: tuple of `Path`, the frames.
        gamma: float, gamma of the encoding, which is undone before averaging; 1 to average the encoded values.
        size: (width, height).
    """

    paths: tuple[Path, ...]
    gamma: float
    size: tuple[int, int]

    def __str__(self):
        return f"the mean of {len(self.paths)} frames from {self.paths[0]} on"

    def read(self) -> np.ndarray:
        """Reads and averages the frames: uint8 `(height, width, 3)`."""
        return average([read_picture(path) for path in self.paths], self.gamma)


def average(pictures: list[np.ndarray], gamma: float = 1.0) -> np.ndarray:
    """Averages pictures and rounds the mean.

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
        name: str, path of its folder or video below the root folder, without the folders that name a split.
        split: "train", "val", "test" or "" (no split given).
        frames: tuple of `Path`, in order.
        size: (width, height) of every frame.
    """

    name: str
    split: str
    frames: tuple[Path, ...]
    size: tuple[int, int]

    def part(self, split: str) -> "Sequence":
        """The part of the sequence for one split: the last frames for "test", those before for "val", else "train"."""
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
    """Pairs made by averaging frames, see `open_frames`. It has the methods of a `sources.Source`.

    Attributes:
        root: `Path` of the folder.
        sequences: list of `Sequence`.
        gamma: see `AveragedPicture`.
    """

    root: Path
    sequences: list[Sequence]
    gamma: float
    note: str = ""  # at the end of the summary
    synthesised = False
    pictures_per_pair = max(COUNTS)  # largest number of frames that are decoded to make one pair

    @property
    def summary(self) -> str:
        """One line that describes the pairs."""
        count = sum(len(sequence.frames) for sequence in self.sequences)
        how = "as they are encoded" if self.gamma == 1 else f"in linear light (gamma {self.gamma:g})"
        lengths = ", ".join(map(str, COUNTS))
        return (
            f"{self.root}: {len(self.sequences)} sequences of {count} frames, such as {self.sequences[0].name}; "
            f"blurred pictures are means of {lengths} frames, averaged {how}{self.note}"
        )

    def parts(self, split: str) -> list[Sequence]:
        """Chooses the sequences of one split.

        These are the sequences in folders that name the split, else sequences that are held out of the training part.
        With fewer than three sequences and no named split, they are a part of each sequence.

        Raises:
            InputError: if there are too few frames or sequences.
        """
        by_split: dict[str, list[Sequence]] = {}
        for sequence in self.sequences:
            by_split.setdefault(sequence.split, []).append(sequence)
        if len(self.sequences) < 3 and set(by_split) == {""}:
            parts = [sequence.part(split) for sequence in self.sequences if len(sequence.frames) >= 3 * max(COUNTS)]
            if not parts:
                raise InputError(
                    f"{self.root} has too few frames: {3 * max(COUNTS)} in a row are needed, {max(COUNTS)} each for "
                    "training, validation and test"
                )
            return parts
        return choose_split(by_split, split, lambda _: lambda sequence: sequence.name, self.root)

    def pairs(self, split: str) -> list[Pair]:
        """Returns the pairs of one split.

        Args:
            split: "train", where every frame with enough neighbours is the middle of a pair of the greatest length
                (`FrameStore` then averages fewer or as many frames); or "val" or "test", where pairs of various
                lengths follow each other without overlap.

        Returns:
            List of `Pair`, never empty.

        Raises:
            InputError: if there are too few frames, or `split` is "all".
        """
        if split == "all":
            raise InputError("--split all is for pairs; of frames any number of pairs could be made")
        make = self._around_every_frame if split == "train" else self._end_to_end
        return [pair for sequence in self.parts(split) for pair in make(sequence)]

    def _around_every_frame(self, sequence):
        """The training pairs of a sequence: one around each frame that has `REACH` frames on both sides."""
        return [self._pair(sequence, middle, max(COUNTS)) for middle in range(REACH, len(sequence.frames) - REACH)]

    def _end_to_end(self, sequence):
        """The validation or test pairs of a sequence. Their lengths depend on its name only."""
        rng = np.random.default_rng(int.from_bytes(digest_of(sequence.name)[:8], "big"))
        pairs, start = [], 0
        while start + max(COUNTS) <= len(sequence.frames):
            count = int(rng.choice(COUNTS))
            pairs.append(self._pair(sequence, start + count // 2, count))
            start += count
        return pairs

    def _pair(self, sequence, middle, count):
        """The pair of `count` frames around the frame with the index `middle`."""
        frames = sequence.frames[middle - count // 2 : middle + count // 2 + 1]
        blurred = AveragedPicture(frames, self.gamma, sequence.size)
        return Pair(sequence.name, sequence.frames[middle].stem, blurred, sequence.frames[middle], sequence.size)

    def kept(self, pairs: list[Pair]) -> list[Frame]:
        """Returns the items that a cache keeps for these training pairs: each frame once."""
        sizes = {path: pair.size for pair in pairs for path in pair.blur.paths}
        return [Frame(path, size) for path, size in sizes.items()]

    def training_store(self, frames: PictureStore, pairs: list[Pair]) -> "FrameStore":
        """Returns the store to train on.

        Args:
            frames: `PictureStore` of the frames that `kept` returned.
            pairs: list of `Pair`, the training pairs.
        """
        return FrameStore(frames, pairs, self.gamma)


class FrameStore(PictureStore):
    """A store of training pairs that averages frames on the fly.

    Args:
        frames: `PictureStore` of `Frame` items.
        pairs: list of `Pair`. The blurred picture of each is an `AveragedPicture` of `max(COUNTS)` frames.
        gamma: see `AveragedPicture`.
    """

    def __init__(self, frames: PictureStore, pairs: list[Pair], gamma: float = 1.0):
        super().__init__(pairs)
        self.frames, self.gamma = frames, gamma
        self._numbers = {frame.path: number for number, frame in enumerate(frames.pairs)}

    @property
    def error(self):
        """The first `InputError` that reading a frame raised, or None."""
        return self.frames.error

    @error.setter
    def error(self, value):
        pass

    def crop(self, number, place, size, chance=0.5):
        """Crops a pair, see `PictureStore.crop`. `chance` decides how many frames are averaged."""
        paths = self.pairs[number].blur.paths
        middle, count = len(paths) // 2, COUNTS[int(chance * len(COUNTS))]
        averaged = paths[middle - count // 2 : middle + count // 2 + 1]
        crops = [self.frames.crop(self._numbers[path], place, size)[0] for path in averaged]
        return np.stack([average(crops, self.gamma), crops[count // 2]])


def open_frames(root: Path, blur: str | None = None, cache_dir: str | Path | None = None) -> FramePairs:
    """Finds the sequences below a folder.

    Args:
        root: `Path` of a folder. It contains folders of consecutive frames, in the order of their file names, or video
            files. The frames of a video are written to the cache once.
        blur: "blur" or None to average the encoded frames; "blur_gamma" to average them in linear light.
        cache_dir: folder for the frames of videos; None for the user's cache folder.

    Returns:
        A `FramePairs`.

    Raises:
        InputError: if `blur` is neither of these, no sequence has enough frames, the frames of one differ in size, some
            sequences are in a folder for a split and others are not, or a folder holds blurred pictures or two of
            one name.
    """
    if (blur or "blur") not in GAMMAS:
        raise InputError(f"--blur {blur}: frames are averaged by {' or '.join(GAMMAS)}")
    folders: dict[Path, list[Path]] = {}
    for path in find_pictures(root, recursive=True):
        folders.setdefault(path.parent, []).append(path)
    require_sharp_frames(root, folders)
    videos = find_videos(root)
    splits = Splits([*itertools.chain(*folders.values()), *(video / "frame" for video in videos)], root)
    frames = {
        folder: sorted(folders[folder], key=_in_order)
        for folder in each_once(list(folders), root, lambda folder: (splits.of(folder / "frame"), *folders[folder]))
    }
    for video in each_once(videos, root, lambda video: (splits.of(video / "frame"), video)):
        frames[video] = extract_frames(video, cache_dir)
    long_enough = {path: some for path, some in frames.items() if len(some) >= max(COUNTS)}
    if not long_enough:
        largest = max(map(len, folders.values()), default=0)
        raise InputError(
            f"No frames of a fast camera in {root}: it takes folders of at least {max(COUNTS)} consecutive frames "
            f"(the largest has {largest} pictures), or videos ({', '.join(sorted(VIDEOS))})"
        )
    count = sum(map(len, long_enough.values()))
    with tqdm(total=count, desc="Measuring frames", unit="frame", delay=1) as bar:
        sequences = [_sequence(splits, path, some, bar) for path, some in long_enough.items()]
    unnamed = [sequence.name for sequence in sequences if not sequence.split]
    if 0 < len(unnamed) < len(sequences):
        raise InputError(
            f"{root} has sequences in no folder for a split, such as {unnamed[0]}, beside others that are in one. Move "
            "them below a folder train/, val/ or test/, or elsewhere"
        )
    require_clear_splits(root, [path / "frame" for path in long_enough if not splits.of(path / "frame")])
    short = [path.relative_to(root).as_posix() for path in frames if path not in long_enough]
    note = f"; not used: {len(short)} with fewer than {max(COUNTS)} frames, such as {short[0]}" if short else ""
    return FramePairs(root, sequences, GAMMAS[blur or "blur"], note)


def require_sharp_frames(root: Path, folders: dict[Path, list[Path]]) -> None:
    """Checks that folders hold frames, and not the pictures of pairs, nor frames in two formats.

    Args:
        root: `Path`.
        folders: dict from the folders below it to the lists of their pictures.

    Raises:
        InputError: if the name of one means blurred, or two of its pictures are called the same but for the ending.
    """
    for folder, paths in folders.items():
        if any(map(means_blurred, folder.relative_to(root).parts)):
            raise InputError(
                f"{folder} holds blurred pictures, as its name says, and frames are taken for sharp ones. "
                f"For pairs, use --data {root}"
            )
        first: dict[str, Path] = {}
        for path in paths:
            if first.setdefault(path.stem, path) is not path:
                raise InputError(f"{first[path.stem]} and {path} have the same name: remove one of them")


def find_videos(root: Path) -> list[Path]:
    """Finds the video files below a folder, hidden ones aside; see `pictures.find_files`."""
    files = find_files(root, recursive=True)
    return [path for path in files if is_video(path) and not path.name.startswith(".")]


def _sequence(splits, path, frames, bar):
    """The `Sequence` of the frames of a folder or video. Its path gives the name and the split."""
    name = "/".join(part for _, part in splits.without(path / "frame")) or path.resolve().name
    return Sequence(name, splits.of(path / "frame"), tuple(frames), common_size(_counted(frames, bar), why=ONE_SIZE))


def _counted(frames, bar):
    """Yields frames, and moves a bar on."""
    for frame in frames:
        yield frame
        bar.update()


@functools.lru_cache(maxsize=65536)
def _in_order(path):
    """A sort key that puts frame 9 before frame 10, even without leading zeros."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]
