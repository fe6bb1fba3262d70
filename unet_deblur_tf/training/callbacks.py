"""Keras callbacks: what is saved after each epoch, what TensorBoard shows, how a signal stops a run."""

import math
import signal
import threading

import keras
import numpy as np
import tensorflow as tf

from unet_deblur_tf.data.pipeline import validation_pictures
from unet_deblur_tf.errors import Stopped
from unet_deblur_tf.evaluation import metrics
from unet_deblur_tf.models import loading
from unet_deblur_tf.training import checkpoints, distribution
from unet_deblur_tf.training.checkpoints import state
from unet_deblur_tf.utils.files import write_by_rename


def training_callbacks(run):
    """Keras' callbacks: best weights, resuming, logs; in that order, so that a kill leaves what was saved before it.

    On machines beside the chief they write nothing.

    Args:
        run: `train.Run`.
    """
    plateau = run.settings.schedule == "plateau"
    if not distribution.is_chief():
        found = [keras.callbacks.TerminateOnNaN()]
        return [*found, distribution.FollowRate()] if plateau else found
    history = run.work / "history.csv"
    # A number of its own per run, the same when it goes on: that of the version it will become.
    logs = str(run.base / "logs" / str(loading.next_version(run.base)))
    past = checkpoints.past_epochs(history, run.epochs_done)
    found = [
        keras.callbacks.TerminateOnNaN(),
        SaveBest(run.network, run.work / "best.keras", "val_psnr", past),
        keras.callbacks.CSVLogger(str(history), append=run.epochs_done > 0),
        keras.callbacks.TensorBoard(logs, write_graph=False),
        TensorBoardPictures(logs, run.validation),
        SaveState(run.work),
    ]
    if plateau:
        found[:0] = [ReduceOnPlateau(past, patience=2), distribution.FollowRate()]
    return found


class SaveState(keras.callbacks.Callback):
    """After each epoch writes what `restore` reads; comes last, so that an epoch counts when all is done.

    Args:
        work: `Path`.
    """

    def __init__(self, work):
        super().__init__()
        self.work = work

    def on_epoch_end(self, epoch, logs=None):
        target = self.work / checkpoints.STATE.format(epoch + 1)
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


class TensorBoardPictures(keras.callbacks.Callback):
    """Writes blurred, restored and sharp validation pictures side by side to TensorBoard after each epoch.

    Args:
        folder: of the logs.
        store: `PictureStore`; its first pictures are shown, cut to 256x256.
        count: how many.
    """

    def __init__(self, folder, store, count=4):
        super().__init__()
        self.writer = tf.summary.create_file_writer(folder + "/pictures")
        self.dataset = validation_pictures(store, largest=256).take(count)

    def on_epoch_end(self, epoch, logs=None):
        with self.writer.as_default(step=epoch):
            for number, (blurred, sharp) in enumerate(self.dataset):
                row = [blurred, metrics.round_to_8_bit(self.model(blurred, training=False)), sharp]
                tf.summary.image(f"blurred, restored, sharp/{number}", tf.concat(row, axis=2))
