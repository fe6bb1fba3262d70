"""What an interrupted training run leaves behind, and how it goes on from there.

In the run's work folder:

    settings.json          what the run was asked for; a run with other settings does not go on with it
    epoch-0007.npz         weights and optimizer after seven epochs; one file, so that none of it can be
                           newer than the rest, and renamed when whole, so that a kill leaves the one before
    best.keras             the network of the best epoch so far, likewise
    history.csv            a row per epoch

Beside it, `.training.lock` keeps a second run away while one is there.

Not in HDF5, whose library brings the process down where the disk is full (h5py 3.14). The stream of
training windows is a function of the batch number, so nothing of it has to be kept.
"""

import contextlib
import csv
import json
import math
import re
import shutil
import signal
import threading

import filelock
import keras
import numpy as np

from unet_deblur_tf.errors import InputError, Stopped
from unet_deblur_tf.files import make_folder, write_by_rename

STATE = "epoch-{:04d}.npz"


@contextlib.contextmanager
def alone(base):
    """Within the block no other run on this machine, or on any that shares the folder, trains there.

    Args:
        base: `Path` of a folder, which is made if there is none.

    Raises:
        InputError: if another run is there, or the folder cannot be written to.
    """
    make_folder(base)
    lock = filelock.FileLock(base / ".training.lock")
    try:
        # The system frees it, too, whichever way the process ends.
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise InputError(f"Another run is training in {base}: wait for it, or give another --output") from None
    except (NotImplementedError, OSError):
        pass  # some network file systems have no locks
    try:
        yield
    finally:
        lock.release()


def prepare(work, settings, fresh):
    """Makes the folder of a run, or finds an interrupted run there that can go on: it must have had the same settings.

    Args:
        work: `Path`.
        settings: dict.
        fresh: bool, forget what is there.

    Returns:
        Number of epochs that the interrupted run had completed, 0 if there was none.

    Raises:
        InputError: if it had other settings, naming them.
    """
    ours = json.loads(json.dumps(settings))
    epochs_done = 0 if fresh else completed_epochs(work)
    if epochs_done:
        theirs = recorded_settings(work)
        differing = [
            f"{key} {theirs.get(key)!r} (now {value!r})" for key, value in ours.items() if theirs.get(key) != value
        ]
        if differing:
            raise InputError(
                f"{work} holds an interrupted run with other settings: {', '.join(differing)}. "
                "Use the same ones to go on with it, --fresh to forget it, or another --output"
            )
        return epochs_done
    shutil.rmtree(work, ignore_errors=True)
    make_folder(work)
    with write_by_rename(work / "settings.json") as path:
        path.write_text(json.dumps(ours, indent=1))
    return 0


def recorded_settings(work):
    """The settings of an interrupted run, empty if there is none or it had not completed an epoch."""
    if not completed_epochs(work):
        return {}
    try:
        return json.loads((work / "settings.json").read_text())
    except (OSError, ValueError):
        return {}


def completed_epochs(work):
    """Number of epochs that an interrupted run had completed, 0 if there was none."""
    numbers = [re.fullmatch(r"epoch-(\d+)\.npz", path.name) for path in work.glob("epoch-*.npz")]
    return max((int(match[1]) for match in numbers if match), default=0)


def restore(model, work, epochs_done):
    """Gives a compiled model, whose optimizer is built, the state of an interrupted run."""
    with np.load(work / STATE.format(epochs_done)) as saved:
        for number, variable in enumerate(state(model)):
            variable.assign(saved[f"arr_{number}"])


def state(model):
    """All variables that training changes."""
    return [*model.variables, *model.optimizer.variables]


def past_epochs(history, epochs_done):
    """The rows of the completed epochs as dicts of floats; forgets rows of an epoch that was cut short."""
    if not history.exists():
        return []
    with open(history, newline="") as file:
        reader = csv.DictReader(file)
        rows = [row for row in reader if int(row["epoch"]) < epochs_done]
        columns = reader.fieldnames
    with write_by_rename(history) as path, open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return [{key: float(value) for key, value in row.items()} for row in rows]


class SaveState(keras.callbacks.Callback):
    """After each epoch writes what `restore` reads; comes last, so that an epoch counts when all is done.

    Args:
        work: `Path`.
    """

    def __init__(self, work):
        super().__init__()
        self.work = work

    def on_epoch_end(self, epoch, logs=None):
        target = self.work / STATE.format(epoch + 1)
        with write_by_rename(target) as path:
            np.savez(path, *[variable.numpy() for variable in state(self.model)])
        for older in self.work.glob("epoch-*.npz"):
            if older != target:
                older.unlink()


class SaveBest(keras.callbacks.Callback):
    """Keeps the network of the best epoch, by a rename; Keras' ModelCheckpoint writes over the one before it.

    Args:
        network: `keras.Model` to save, whose layers the trained one has.
        path: `Path` of a `.keras` file.
        monitor: str, what is best when it is largest.
        past: rows of the epochs before this process, see `past_epochs`.
    """

    def __init__(self, network, path, monitor, past=()):
        super().__init__()
        self.network, self.path, self.monitor = network, path, monitor
        self.best = max((row[monitor] for row in past if math.isfinite(row[monitor])), default=-math.inf)

    def on_epoch_end(self, epoch, logs=None):
        value = logs[self.monitor]
        if math.isfinite(value) and value > self.best:
            self.best = value
            with write_by_rename(self.path) as path:
                self.network.save(path)


class ReduceOnPlateau(keras.callbacks.ReduceLROnPlateau):
    """Keras' callback, which after an interruption remembers how long it has been waiting for what.

    Args:
        past: rows of the epochs before this process, see `past_epochs`.
        **kwargs: those of `keras.callbacks.ReduceLROnPlateau`.
    """

    def __init__(self, past=(), **kwargs):
        super().__init__(**kwargs)
        self.past = past

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        reached = float(self.model.optimizer.learning_rate.numpy())
        for row in self.past:
            # The rate that each epoch had decides whether it was reduced.
            self.model.optimizer.learning_rate.assign(row["learning_rate"])
            self.on_epoch_end(int(row["epoch"]), dict(row))
        self.model.optimizer.learning_rate.assign(reached)


class StopAtStep(keras.callbacks.Callback):
    """Ctrl-C and SIGTERM stop training at the end of the step that is running; a second Ctrl-C at once.

    Raises:
        Stopped: in the main thread, from `fit`.
    """

    def __init__(self):
        super().__init__()
        self.received = None
        self._before = {}

    def on_train_begin(self, logs=None):
        if threading.current_thread() is not threading.main_thread():
            return  # Python delivers signals to the main thread alone
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)

    def _note(self, number, frame):
        if self.received is not None:
            self.restore()
            raise KeyboardInterrupt
        self.received = number

    def _stop(self):
        if self.received is not None:
            raise Stopped(self.received)

    def on_train_batch_end(self, batch, logs=None):
        self._stop()

    def on_test_batch_end(self, batch, logs=None):
        self._stop()

    def on_epoch_end(self, epoch, logs=None):
        self._stop()

    def restore(self):
        """Gives the signals back to whoever had them before; `fit` does not say when an error ends it."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
