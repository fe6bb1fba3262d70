"""Keras callbacks of a training run: they save its state, write logs, and stop it cleanly after a signal."""

import math
import signal
import threading

import keras
import numpy as np
import tensorflow as tf

from unet_deblur_tf.data.pipeline import validation_pictures
from unet_deblur_tf.data.store import Centres
from unet_deblur_tf.errors import Stopped
from unet_deblur_tf.evaluation import metrics
from unet_deblur_tf.models.finding import next_version
from unet_deblur_tf.training import checkpoints, distribution
from unet_deblur_tf.training.checkpoints import state
from unet_deblur_tf.utils.files import write_by_rename
from unet_deblur_tf.utils.scripts import ENDING


def training_callbacks(run):
    """Creates the callbacks of a run: for the best network, the logs and the state, in this order.

    The state comes last: an epoch counts as completed only when everything else about it has been written. On
    machines other than the chief the callbacks write nothing.

    Args:
        run: `train.Run`.

    Returns:
        List of `keras.callbacks.Callback`.
    """
    plateau = run.settings.schedule == "plateau"
    if not distribution.is_chief():
        worker = [keras.callbacks.TerminateOnNaN()]
        return [*worker, distribution.FollowRate()] if plateau else worker
    history = run.work / "history.csv"
    # Each run has its own log folder, numbered as the version that it will publish. A resumed run uses the same one.
    logs = str(run.base / "logs" / str(next_version(run.base)))
    past = checkpoints.past_epochs(history, run.epochs_done)
    chief = [
        keras.callbacks.TerminateOnNaN(),
        SaveBest(run.network, run.work / "best.keras", "val_psnr", past),
        keras.callbacks.CSVLogger(str(history), append=run.epochs_done > 0),
        keras.callbacks.TensorBoard(logs, write_graph=False),
        TensorBoardPictures(logs, run.validation),
        SaveState(run.work),
    ]
    if plateau:
        chief[:0] = [ReduceOnPlateau(past, patience=2), distribution.FollowRate()]
    return chief


class SaveState(keras.callbacks.Callback):
    """Writes the state of training after each epoch, for `checkpoints.restore`. Must be the last callback.

    Args:
        work: `Path` of the run's work folder.
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
    """Saves the network of the best epoch.

    Unlike Keras' ModelCheckpoint, it writes to a temporary file, which then replaces the previous one.

    Args:
        network: `keras.Model` to save; it shares its weights with the trained model.
        path: `Path` of the `.keras` file.
        monitor: str, the metric that decides; larger is better.
        past: list of dict, the epochs before this process, see `checkpoints.past_epochs`.
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
    """`keras.callbacks.ReduceLROnPlateau` that continues after an interruption as if there had been none.

    Args:
        past: list of dict, the epochs before this process, see `checkpoints.past_epochs`.
        **kwargs: arguments of `keras.callbacks.ReduceLROnPlateau`.
    """

    def __init__(self, past=(), **kwargs):
        super().__init__(**kwargs)
        self.past = past

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        restored_rate = float(self.model.optimizer.learning_rate.numpy())
        # Repeat the decisions of the past epochs, each with the learning rate that it had.
        for row in self.past:
            self.model.optimizer.learning_rate.assign(row["learning_rate"])
            self.on_epoch_end(int(row["epoch"]), dict(row))
        self.model.optimizer.learning_rate.assign(restored_rate)


class StopAtStep(keras.callbacks.Callback):
    """Stops training after Ctrl-C, SIGTERM or SIGHUP at the end of the current step. A second signal stops it at once.

    Raises:
        Stopped: in the main thread, from `fit`.
        KeyboardInterrupt: in the main thread, after a second signal.
    """

    def __init__(self):
        super().__init__()
        self.received = None
        self._before = {}

    def on_train_begin(self, logs=None):
        if threading.current_thread() is not threading.main_thread():
            return  # Python delivers signals only to the main thread
        for number in (signal.SIGINT, *ENDING):
            if signal.getsignal(number) != signal.SIG_IGN:
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
        """Restores the previous signal handlers. To be called after `fit`, which has no hook for when it fails."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}


class TensorBoardPictures(keras.callbacks.Callback):
    """After each epoch writes blurred, restored and sharp validation pictures, side by side, to TensorBoard.

    Args:
        folder: str, path of the logs.
        store: `PictureStore`; its first pictures are shown, cropped to 256x256.
        count: int, number of pictures.
    """

    def __init__(self, folder, store, count=4):
        super().__init__()
        self.writer = tf.summary.create_file_writer(folder + "/pictures")
        self.dataset = validation_pictures(Centres(store.pairs[:count], 256))

    def on_epoch_end(self, epoch, logs=None):
        with self.writer.as_default(step=epoch):
            for number, (blurred, sharp) in enumerate(self.dataset):
                row = [blurred, metrics.round_to_8_bit(self.model(blurred, training=False)), sharp]
                tf.summary.image(f"blurred, restored, sharp/{number}", tf.concat(row, axis=2))
