"""The networks that a visitor can choose, each loaded when it is first needed."""

import contextlib
import threading

import numpy as np
import psutil

from unet_deblur_tf.errors import InputError
from unet_deblur_tf.models import pretrained
from unet_deblur_tf.restoring.restorer import Restorer
from unet_deblur_tf.restoring.runtimes import start_quietly
from unet_deblur_tf.utils.hardware import free_memory

# The networks of the package, the default one first.
NAMES = tuple(sorted(pretrained.manifest()["networks"], key=pretrained.manifest()["default"].__ne__))
# Bytes for one photo at most. A photo that needs more is restored in tiles, whose number the progress bar shows.
MEMORY = 3e9


class Networks:
    """Loads the networks of the package and keeps them. Several threads may use it."""

    def __init__(self):
        self._restorers = {}
        self._lock = threading.Lock()

    def get(self, name: str, ensemble: bool = False):
        """Returns a `Restorer`, which is loaded at the first call.

        Args:
            name: str, one of `NAMES`.
            ensemble: bool, see `RestoringOptions`.

        Raises:
            InputError: if there is no such network, or its file is damaged.
        """
        with self._lock:
            if (name, ensemble) not in self._restorers:
                path = pretrained.find(name)  # a name alone can also be that of a file in the working folder
                if path is None:
                    raise InputError(f"The package has no network {name}")
                start_quietly(path)
                memory = psutil.Process().memory_info().rss + min(free_memory() / 2, MEMORY)
                self._restorers[name, ensemble] = Restorer(path, ensemble=ensemble, memory=memory)
            return self._restorers[name, ensemble]

    def load_soon(self) -> None:
        """Begins to load the default network, or to convert it, while the visitor chooses a photo.

        Errors are left to `get`, which a visitor's photo calls again.
        """
        # Not a daemon, so that Python waits for it at the end: TensorFlow aborts a process that ends while it loads.
        threading.Thread(target=self._try_default, name="load the default network").start()

    def _try_default(self):
        with contextlib.suppress(Exception):
            self.get(NAMES[0])(np.zeros((64, 64, 3), np.uint8))
