"""Stores decoded pairs in memory, on disk, or only while they are in use.

Decoding two 1280x720 PNG files takes about 50 ms on one core, and cropping them 0.1 ms. So decoded pictures should be
used more than once.
"""

import collections
import concurrent.futures
import hashlib
import json
import mmap
import os
import threading
from pathlib import Path

import numpy as np
from tqdm import tqdm

from unet_deblur_tf.data.pairs import measure_pairs
from unet_deblur_tf.data.pictures import read_picture
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.utils.files import make_folder, remove_stale, write_by_rename
from unet_deblur_tf.utils.hardware import free_disk, free_memory

SHARE = 0.4  # share of the free memory, or free disk space, that decoded pictures take with `--cache auto`
POOL = 64  # number of pictures that training uses at a time
READS_PER_RELEASE = 64  # number of reads after which the disk cache releases its pages, see `OnDisk`


class PictureStore:
    """A store that decodes a pair each time it is used. The other stores are subclasses.

    Args:
        pairs: list of `Pair`, or of other objects with `pictures` and `size`, such as `frames.Frame`.

    Attributes:
        pairs: the same list.
        error: the first `InputError` that reading a picture raised, or None. TensorFlow replaces exceptions inside its
            pipeline with its own; this is the original.
    """

    error: InputError | None

    def __init__(self, pairs: list):
        self.pairs = pairs
        self.error = None

    def __len__(self) -> int:
        return len(self.pairs)

    def load(self, number: int) -> np.ndarray:
        """Returns the decoded pictures of one pair.

        Args:
            number: int, index of the pair.

        Returns:
            uint8 `(pictures, height, width, 3)`; of a `Pair` 2 pictures, the blurred one first. Do not change it.

        Raises:
            InputError: if a file cannot be decoded, or the pictures differ in size; it names the files.
        """
        try:
            paths = self.pairs[number].pictures
            pictures = [read_picture(path) for path in paths]
            for path, picture in zip(paths[1:], pictures[1:]):
                if picture.shape != pictures[0].shape:
                    raise InputError(f"{paths[0]} is {pictures[0].shape} but its twin {path} is {picture.shape}")
        except InputError as error:
            self.error = self.error or error
            raise
        return np.stack(pictures)

    def crop(self, number: int, place, size: int, chance: float = 0.5) -> np.ndarray:
        """Returns a square crop of one pair.

        Args:
            number: int, index of the pair.
            place: (vertical, horizontal) position of the crop between the borders, floats in [0, 1).
            size: int, side of the crop in pixels, at most the height and width of the picture.
            chance: float in [0, 1), a random number for stores that make a pair in one of several ways.

        Returns:
            uint8 `(pictures, size, size, 3)`, see `load`. Do not change it.
        """
        pictures = self.load(number)
        top, left = (int(position * (side - size + 1)) for position, side in zip(place, pictures.shape[1:3]))
        return pictures[:, top : top + size, left : left + size]


class LRUStore(PictureStore):
    """A store that keeps the most recently used pairs. A pair that several threads want at once is decoded once.

    Args:
        pairs: see `PictureStore`.
        keep: int, number of pairs to keep.
    """

    def __init__(self, pairs: list, keep: int = POOL + POOL // 2):
        super().__init__(pairs)
        self._keep = keep
        # From the index of a pair to its Future; the most recently used pair is the last.
        self._decoded: collections.OrderedDict[int, concurrent.futures.Future] = collections.OrderedDict()
        self._lock = threading.Lock()

    def load(self, number):
        with self._lock:
            future = self._decoded.get(number)
            if must_decode := future is None:
                future = self._decoded[number] = concurrent.futures.Future()
                while len(self._decoded) > self._keep:
                    self._decoded.popitem(last=False)
            self._decoded.move_to_end(number)
        if must_decode:
            try:
                future.set_result(self._decode(number))
            except BaseException as error:
                future.set_exception(error)
        return future.result()

    def _decode(self, number):
        """What is kept of a pair."""
        return super().load(number)


class InMemory(LRUStore):
    """A store that keeps every pair in memory from its first use on."""

    def __init__(self, pairs: list):
        super().__init__(pairs, keep=len(pairs))


class Centres(InMemory):
    """A store that keeps the centre of every pair in memory from its first use on, however large the pictures are.

    Args:
        pairs: see `PictureStore`.
        largest: int, largest height and width of what is kept, in pixels.
    """

    def __init__(self, pairs: list, largest: int = 512):
        super().__init__(pairs)
        self._largest = largest

    def _decode(self, number):
        pictures = super()._decode(number)
        top, left = (max(0, extent - self._largest) // 2 for extent in pictures.shape[1:3])
        centre = pictures[:, top : top + self._largest, left : left + self._largest]
        return centre.copy()  # or the whole pictures would stay in memory


class OnDisk(PictureStore):
    """A store that keeps all pairs in one memory-mapped file of raw bytes. Later runs use the same file.

    The process releases the mapped pages every few reads, so its memory stays small however large the file is. The
    operating system keeps the pages in its file cache.

    Args:
        pairs: see `PictureStore`.
        folder: `Path` of the cache folder.

    Raises:
        InputError: if a picture cannot be read, or the file cannot be written.
    """

    def __init__(self, pairs: list, folder: Path):
        super().__init__(pairs)
        self._shapes = [(len(pair.pictures), *pair.size[::-1], 3) for pair in measure_pairs(pairs)]
        self._starts = np.cumsum([0, *(int(np.prod(shape)) for shape in self._shapes)])
        self.path = disk_file(pairs, folder)
        if not self.path.exists() or self.path.stat().st_size != self._starts[-1]:
            self._write()
        self._bytes = np.memmap(self.path, np.uint8, mode="r")
        self._reads = 0

    def _write(self):
        """Decodes all pairs and writes the file."""
        make_folder(self.path.parent)
        remove_stale(self.path.parent, ".decoded-*.partial-*")
        decoded = self._decode_ahead(os.cpu_count())
        try:
            with write_by_rename(self.path) as partial, open(partial, "wb") as file:
                bar = tqdm(decoded, "Decoding to the disk cache", len(self), unit="pair")
                for pair, shape, pictures in zip(self.pairs, self._shapes, bar):
                    if pictures.shape != shape:  # or all that follow would be read from the wrong place
                        sizes = "{2}x{1} pixels, not {4}x{3}".format(*pictures.shape[:3], *shape[1:3])
                        raise InputError(f"{pair.pictures[0]} has {sizes} as its header says")
                    file.write(pictures.data)
        except OSError as error:
            raise InputError(f"Cannot write {self.path}: {error.strerror}. Try --cache none") from error

    def _decode_ahead(self, threads):
        """Decodes all pairs in several threads, at most `threads` pairs ahead, and yields them in order."""
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            waiting = collections.deque()
            for number in range(len(self)):
                waiting.append(pool.submit(super().load, number))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def load(self, number):
        self._reads += 1
        if self._reads % READS_PER_RELEASE == 0 and hasattr(mmap, "MADV_DONTNEED"):
            # The mapping is read-only, so nothing is lost: the next read maps the page again.
            self._bytes._mmap.madvise(mmap.MADV_DONTNEED)
        start, end = self._starts[number : number + 2]
        return self._bytes[start:end].reshape(self._shapes[number])


def disk_file(pairs: list, folder: Path) -> Path:
    """Returns the path of the file of decoded pairs in a cache folder."""
    return folder / f"decoded-{fingerprint(pairs)}.raw"


def fingerprint(pairs: list) -> str:
    """Computes a hash that changes with the paths, sizes and times of the files, and with their order."""
    stamps: dict[str, list] = {}
    for path in {getattr(picture, "path", picture) for pair in pairs for picture in pair.pictures}:
        status = os.stat(path)
        stamps[str(path)] = [str(Path(path).resolve()), status.st_size, status.st_mtime_ns]
    rows = [
        [*stamps[str(getattr(picture, "path", picture))], getattr(picture, "start", 0)]
        for pair in pairs
        for picture in pair.pictures
    ]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]


def bytes_decoded(pairs: list) -> int:
    """Returns the number of bytes that the decoded pairs take."""
    return sum(len(pair.pictures) * 3 * pair.size[0] * pair.size[1] for pair in measure_pairs(pairs))


def choose_cache(pairs: list, folder: Path) -> tuple[str, str]:
    """Chooses the first cache of memory and disk that has room for the decoded pairs.

    Args:
        pairs: see `PictureStore`.
        folder: `Path` of the folder for a disk cache.

    Returns:
        ("memory", "disk" or "none", the reason as text for the user).
    """
    needed, memory, disk = bytes_decoded(pairs), free_memory(), free_disk(folder)
    needs = f"decoded pictures take {_size(needed)}"
    if needed <= SHARE * memory:
        return "memory", f"{needs} of {_size(memory)} free memory"
    if disk_file(pairs, folder).exists():
        return "disk", f"{needs}, more than {SHARE:.0%} of {_size(memory)} free memory, and are on disk already"
    if needed <= SHARE * disk:
        return "disk", f"{needs}, more than {SHARE:.0%} of {_size(memory)} free memory, of {_size(disk)} on {folder}"
    return "none", f"{needs}, more than {SHARE:.0%} of {_size(memory)} free memory and {_size(disk)} on {folder}"


def open_store(pairs: list, cache: str, folder: Path, pool: int = POOL) -> PictureStore:
    """Creates the store for a value of `--cache`.

    Args:
        pairs: see `PictureStore`.
        cache: one of `configs.CACHES`.
        folder: `Path` of the folder for a disk cache.
        pool: int, number of pairs that training uses at a time. Without a cache, 1.5 times as many are kept, or fewer
            if they do not fit into the share of the free memory that is for them.

    Returns:
        `InMemory`, `OnDisk` or, without a cache, `LRUStore`.
    """
    if cache == "disk":
        return OnDisk(pairs, folder)
    if cache == "memory":
        return InMemory(pairs)
    largest = max(bytes_decoded([pair]) for pair in pairs)
    return LRUStore(pairs, max(1, min(pool + pool // 2, int(SHARE * free_memory() // largest))))


def _size(count):
    """A number of bytes as text."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
