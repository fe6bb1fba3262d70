"""Decoded pairs by number, kept where they fit: in memory, on disk, or only for as long as they are in use.

Decoding two 1280x720 PNGs takes some 50 ms of one core, cutting a window out of them
0.1 ms: what is decoded should be used more than once.
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

SHARE = 0.4  # of the free memory, or disk, that decoded pictures may take without being asked
POOL = 64  # pictures in use at a time where none are kept
READS_PER_RELEASE = 64  # of the disk cache; see OnDisk


class PictureStore:
    """Pairs by number, decoded anew at each use; the other stores build on it.

    Attributes:
        pairs: list of `Pair`, or of anything else with `pictures` and `size`, such as `frames.Frame`.
        error: the first `InputError` met while reading, None before. TensorFlow turns
            exceptions from inside its pipeline into its own; this keeps the original.
    """

    def __init__(self, pairs):
        self.pairs = pairs
        self.error = None

    def __len__(self):
        return len(self.pairs)

    def load(self, number):
        """The pictures of one pair: uint8 `(2, height, width, 3)`, blurred first; not to be written to.

        Raises:
            InputError: naming the file, if it cannot be decoded or the twins differ in size.
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

    def crop(self, number, place, size, chance=0.5):
        """A square of one pair.

        Args:
            number: int.
            place: (down, across), floats from 0 up to 1, where it lies between the borders.
            size: its side in pixels, at most that of the picture.
            chance: float from 0 up to 1, for stores that make pairs in more than one way.

        Returns:
            uint8 `(2, size, size, 3)`, blurred first; not to be written to.
        """
        pictures = self.load(number)
        top, left = (int(at * (extent - size + 1)) for at, extent in zip(place, pictures.shape[1:3]))
        return pictures[:, top : top + size, left : left + size]


class LRUStore(PictureStore):
    """Keeps the pairs used last. Threads that want the same pair wait for one decoding of it."""

    def __init__(self, pairs, keep=POOL + POOL // 2):
        super().__init__(pairs)
        self._keep = keep
        self._decoded = collections.OrderedDict()  # number to Future, the one used last at the end
        self._lock = threading.Lock()

    def load(self, number):
        with self._lock:
            future = self._decoded.get(number)
            if mine := future is None:
                future = self._decoded[number] = concurrent.futures.Future()
                while len(self._decoded) > self._keep:
                    self._decoded.popitem(last=False)
            self._decoded.move_to_end(number)
        if mine:
            try:
                future.set_result(super().load(number))
            except BaseException as error:
                future.set_exception(error)
        return future.result()


class InMemory(LRUStore):
    """Keeps every pair from its first use on."""

    def __init__(self, pairs):
        super().__init__(pairs, keep=len(pairs))


class OnDisk(PictureStore):
    """Keeps all pairs in one file of raw bytes, memory-mapped; made once, found again by later runs.

    Its pages are the system's file cache, not this process's memory: after every few
    reads the mapping gives them back, so the process stays small whatever the file's size.

    Args:
        pairs: list of `Pair`.
        folder: `Path` for the file.

    Raises:
        InputError: if a picture cannot be read, or the file cannot be written.
    """

    def __init__(self, pairs, folder):
        super().__init__(pairs)
        self._shapes = [(len(pair.pictures), *pair.size[::-1], 3) for pair in measure_pairs(pairs)]
        self._starts = np.cumsum([0, *(int(np.prod(shape)) for shape in self._shapes)])
        self.path = disk_file(pairs, folder)
        if not self.path.exists() or self.path.stat().st_size != self._starts[-1]:
            self._write()
        self._bytes = np.memmap(self.path, np.uint8, mode="r")
        self._reads = 0

    def _write(self):
        make_folder(self.path.parent)
        remove_stale(self.path.parent, ".decoded-*.partial-*")
        decoded = self._decode_ahead(os.cpu_count())
        try:
            with write_by_rename(self.path) as partial, open(partial, "wb") as file:
                for pictures in tqdm(decoded, "Decoding to the disk cache", len(self), unit="pair"):
                    file.write(pictures.data)
        except OSError as error:
            raise InputError(f"Cannot write {self.path}: {error.strerror}. Try --cache none") from error

    def _decode_ahead(self, threads):
        """All pairs in order, decoded in parallel but never more than a few ahead of the one asked for."""
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
            # Of a mapping that is only read this forgets nothing: the next use maps the page again.
            self._bytes._mmap.madvise(mmap.MADV_DONTNEED)
        start, end = self._starts[number : number + 2]
        return self._bytes[start:end].reshape(self._shapes[number])


def disk_file(pairs, folder):
    """Where the decoded pairs lie below a cache folder."""
    return folder / f"decoded-{fingerprint(pairs)}.raw"


def fingerprint(pairs):
    """A name for the content of these files, in this order: it changes with their paths, sizes and times."""
    stamps = {}
    for path in {getattr(picture, "path", picture) for pair in pairs for picture in pair.pictures}:
        status = os.stat(path)
        stamps[str(path)] = [str(Path(path).resolve()), status.st_size, status.st_mtime_ns]
    rows = [
        [*stamps[str(getattr(picture, "path", picture))], getattr(picture, "start", 0)]
        for pair in pairs
        for picture in pair.pictures
    ]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]


def bytes_decoded(pairs):
    """How many bytes the decoded pairs take."""
    return sum(len(pair.pictures) * 3 * pair.size[0] * pair.size[1] for pair in measure_pairs(pairs))


def choose_cache(pairs, folder):
    """What fits, and why.

    Args:
        pairs: list of `Pair`.
        folder: where a disk cache would lie.

    Returns:
        ("memory", "disk" or "none", a sentence for people).
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


def open_store(pairs, cache, folder, pool=POOL):
    """The store for one of `CACHES`.

    Args:
        pairs: list of `Pair`.
        cache: "memory", "disk" or "none".
        folder: `Path` for a disk cache.
        pool: how many pictures are in use at a time; without a cache half as many again are held.
    """
    if cache == "disk":
        return OnDisk(pairs, folder)
    return InMemory(pairs) if cache == "memory" else LRUStore(pairs, pool + pool // 2)


def _size(count):
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
