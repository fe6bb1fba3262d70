"""Saves the state of a training run after each epoch, and resumes an interrupted run from it.

A run's work folder contains:

    settings.json          the settings of the run; only a run with the same settings resumes it
    epoch-0007.npz         weights and optimizer after seven epochs
    best.keras             the network of the best epoch so far
    history.csv            a row per epoch

The state is one file, so that its parts always belong to the same epoch. It is written under a temporary name and then
renamed, as is best.keras, so a process that is killed leaves the previous state intact. The format is not HDF5, whose
library crashes the process if the disk is full (h5py 3.14). The training crops are a function of the batch number, so
they need no state.

`.training.lock` beside the work folder prevents a second run at the same time.
"""

import contextlib
import csv
import json
import re
import shutil

import filelock
import numpy as np

from unet_deblur_tf.errors import InputError
from unet_deblur_tf.utils.files import make_folder, write_by_rename

STATE = "epoch-{:04d}.npz"


@contextlib.contextmanager
def run_lock(base):
    """Within the block, no other run can train in the folder, on this machine or on others that share it.

    Args:
        base: `Path` of the folder; it is created if it does not exist.

    Raises:
        InputError: if another run is training there, or the folder cannot be written to.
    """
    make_folder(base)
    lock = filelock.FileLock(base / ".training.lock")
    try:
        # The system releases the lock when the process ends, however it ends.
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise InputError(f"Another run is training in {base}: wait for it, or give another --output") from None
    except (NotImplementedError, OSError):
        pass  # some network file systems do not support locks
    try:
        yield
    finally:
        lock.release()


def epochs_to_resume(work, settings):
    """Looks for an interrupted run to resume.

    Args:
        work: `Path` of the work folder.
        settings: dict, the settings of the run; an interrupted run must have had the same.

    Returns:
        int, the number of epochs that the interrupted run completed, 0 if there is none.

    Raises:
        InputError: if the interrupted run had other settings. The message lists them.
    """
    settings = json.loads(json.dumps(settings))  # as a file would hold them
    epochs_done = completed_epochs(work)
    if epochs_done:
        recorded = recorded_settings(work)
        differing = [
            f"{key} {recorded.get(key)!r} (now {value!r})"
            for key, value in settings.items()
            if recorded.get(key) != value
        ]
        if differing:
            raise InputError(
                f"{work} holds an interrupted run with other settings: {', '.join(differing)}. "
                "Use the same ones to continue it, --fresh to discard it, or another --output"
            )
    return epochs_done


def begin(work, settings):
    """Creates the work folder of a run, without whatever an interrupted run left there; for `settings` see above."""
    shutil.rmtree(work, ignore_errors=True)
    make_folder(work)
    with write_by_rename(work / "settings.json") as path:
        path.write_text(json.dumps(settings, indent=1))


def recorded_settings(work):
    """The settings of an interrupted run; empty if there is none, or it did not complete an epoch."""
    if not completed_epochs(work):
        return {}
    try:
        return json.loads((work / "settings.json").read_text())
    except (OSError, ValueError):
        return {}


def completed_epochs(work):
    """The number of epochs that an interrupted run completed, 0 if there is none."""
    numbers = [re.fullmatch(r"epoch-(\d+)\.npz", path.name) for path in work.glob("epoch-*.npz")]
    return max((int(match[1]) for match in numbers if match), default=0)


def restore(model, work, epochs_done):
    """Loads the state of an interrupted run into a compiled model, whose optimizer must be built."""
    with np.load(work / STATE.format(epochs_done)) as saved:
        for number, variable in enumerate(state(model)):
            variable.assign(saved[f"arr_{number}"])


def state(model):
    """All variables that training changes: those of the model and of its optimizer."""
    return [*model.variables, *model.optimizer.variables]


def past_epochs(history, epochs_done):
    """Reads the completed epochs, and removes the rows of an interrupted epoch from the file.

    Args:
        history: `Path` of `history.csv`.
        epochs_done: int, number of completed epochs.

    Returns:
        List of dict, a row per epoch, with floats as values.
    """
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
