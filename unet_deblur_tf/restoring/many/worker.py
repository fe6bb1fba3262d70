"""What a worker process does: it loads the network once, and restores one file at a time."""

import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

import apache_beam as beam
import psutil
from apache_beam.metrics import Metrics
from apache_beam.utils.shared import Shared

from unet_deblur_tf.data import photos
from unet_deblur_tf.errors import InputError, first_line
from unet_deblur_tf.models import pretrained
from unet_deblur_tf.models.finding import find_model
from unet_deblur_tf.restoring import video
from unet_deblur_tf.restoring.many import storage
from unet_deblur_tf.restoring.restorer import Restorer
from unet_deblur_tf.restoring.runtimes import start_quietly
from unet_deblur_tf.utils.formats import is_video
from unet_deblur_tf.utils.hardware import free_memory

METRICS = "deblur_many"
RESTORED, KEPT, FAILED = COUNTERS = "restored", "kept", "failed"
MILLISECONDS = "milliseconds"  # distribution, of the files that were restored


class Network:
    """The network of a process, which all its threads share: loaded when it is first used.

    Args:
        model: see `finding.find_model`.
        workers: int, the processes of a machine, which share its memory and its cores.
        **restoring: the fields of `RestoringOptions`. `memory` is in bytes, for all processes of a machine together.
    """

    def __init__(self, model: str | None, workers: int, **restoring):
        self.model, self.workers, self.restoring = model, workers, restoring
        self._shared = Shared()

    def load(self) -> "Loaded":
        """Returns the network of this process.

        Raises:
            InputError: see `Restorer`.
        """
        return self._shared.acquire(self._load)

    def check(self) -> tuple[str | None, str]:
        """Loads the network.

        Returns:
            (`model` as other processes find it, from any working directory; a line that says what it is).

        Raises:
            InputError: see `Restorer`.
        """
        restore = self.load().restore
        path = find_model(self.model)
        model = self.model if pretrained.is_own(path) else str(path.absolute())
        about = f"{path}, {restore.about}"
        if self.workers > 1:
            about += f"; {self.workers} processes on a machine, each with at most {restore.options.memory / 1e9:.1f} GB"
        return model, "\n".join(filter(None, (about, restore.advice)))

    def _load(self):
        # The number of threads stays what the runtime chooses, although the processes share the cores: with another
        # one, results differ from those of `deblur` in the last bit.
        start_quietly(self.model, **self.restoring)
        return Loaded(Restorer(self.model, **{**self.restoring, "memory": self._memory()}))

    def _memory(self):
        """Bytes that this process may use; None for the default of `Restorer`."""
        memory = self.restoring.get("memory")
        if memory is not None:
            return memory / self.workers
        if self.workers == 1:
            return None
        return psutil.Process().memory_info().rss + free_memory() / 2 / self.workers


class Loaded:
    """A `Restorer`, and the lock that keeps the threads of a process from restoring at the same time.

    Some runners call several threads. Each would take the memory of a picture.
    """

    def __init__(self, restore):
        self.restore, self.lock = restore, threading.Lock()


class PhotoOptions(NamedTuple):
    """How photos are read and written, see `deblur.deblur`."""

    quality: int
    allow_large: bool
    allow_damaged: bool


class RestoreFile(beam.DoFn):
    """Restores a file, (source, target). Yields (source, reason) if it fails; counts the others.

    Args:
        network: `Network`.
        output: path of the output folder.
        photos: `PhotoOptions`.
    """

    def __init__(self, network: Network, output: str, photos: PhotoOptions):
        super().__init__()
        self.network, self.output, self.photos = network, output, photos
        self._counters = {name: Metrics.counter(METRICS, name) for name in (RESTORED, KEPT)}
        self._milliseconds = Metrics.distribution(METRICS, MILLISECONDS)

    def setup(self):
        self._loaded = self.network.load()

    def process(self, job: tuple[str, str]) -> Iterator[tuple[str, str]]:
        source, target = job
        with self._loaded.lock:
            # Asked now and not before: a runner may give out a file again, after a worker was lost.
            if storage.exists(target):
                self._counters[KEPT].inc()
                return
            began = time.monotonic()
            reason = self._reason_to_fail(source, target)
        if reason:
            yield source, reason
        else:
            self._counters[RESTORED].inc()
            self._milliseconds.update(round(1000 * (time.monotonic() - began)))

    def _reason_to_fail(self, source, target):
        """Restores a file. Returns "", or why it could not be restored."""
        names = {}  # of the temporary files, which mean nothing to the user
        try:
            with storage.writing(target, self.output) as result, storage.reading(source) as original:
                names = {str(result): target, str(original): source}
                self._restore(original, result)
        except InputError as error:
            reason = str(error)
        except Exception as error:  # whatever it is, the other files are still to be restored
            reason = f"{type(error).__name__}: {first_line(error)}"
        else:
            return ""
        for temporary, name in names.items():
            reason = reason.replace(temporary, name)
        return reason

    def _restore(self, original, result):
        """Does with local files what `deblur` does."""
        if is_video(original):
            video.restore_video(self._loaded.restore, original, result)
            return
        photo = photos.read_photo(original, self.photos.allow_large, self.photos.allow_damaged)
        restored = photo._replace(pixels=self._loaded.restore(photo.pixels))
        photos.write_photo(result, restored, self.photos.quality)
