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
import re
import shutil

import filelock
import numpy as np

from unet_deblur_tf.errors import InputError
from unet_deblur_tf.utils.files import make_folder, write_by_rename

STATE = "epoch-{:04d}.npz"


@contextlib.contextmanager
def run_lock(base):
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
