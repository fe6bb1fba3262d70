"""What becomes of a trained network: its pooling is chosen, it is scored, exported and put beside its run's files."""

import csv
import dataclasses
import importlib.metadata
import json
import platform
import shutil

from unet_deblur_tf.data.pairs import evenly_spaced
from unet_deblur_tf.evaluation.report import comparison, summarise
from unet_deblur_tf.evaluation.scoring import score
from unet_deblur_tf.exporting import saved_model
from unet_deblur_tf.exporting.export import RUN_FILES
from unet_deblur_tf.exporting.server_files import write_configs
from unet_deblur_tf.models.loading import POOLING_WINDOW
from unet_deblur_tf.models.transforms import pooling_of, squeeze_layers, with_local_pooling
from unet_deblur_tf.restoring.restorer import Restorer
from unet_deblur_tf.utils.files import write_by_rename

POOLING_LIMIT = 16  # validation pictures on which pooling is chosen


def choose_pooling(model, crop, val_pairs, wanted="auto"):
    """Global or local pooling for squeeze-and-excitation: as asked for, or what scores higher on validation pictures.

    Args:
        model: `keras.Model`.
        crop: side of the windows it was trained on.
        val_pairs: list of `Pair`, scored at full size.
        wanted: one of `POOLINGS`.

    Returns:
        (the model with that pooling, what to record of it).
    """
    if not squeeze_layers(model):
        return model, None
    models = {"global": model, "local": with_local_pooling(model, POOLING_WINDOW * crop)}
    if wanted != "auto":
        return models[wanted], {"exported": pooling_of(models[wanted])}
    psnr = {}
    for name, candidate in models.items():
        scores = score(Restorer(candidate), evenly_spaced(val_pairs, POOLING_LIMIT), progress=False)
        psnr[name] = summarise(scores)["restored"]["psnr"]
    best = max(psnr, key=psnr.get)  # global, if they are equal
    exported = pooling_of(models[best])
    print("Pooling: " + ", ".join(f"{name} {value:.3f} dB" for name, value in psnr.items()) + f"; exported: {exported}")
    return models[best], {"exported": exported, "validation_psnr": psnr}


def publish(model, settings, base, work, test_pairs, pooling=None):
    """Scores and exports the network; puts the run's files inside the new version and beside it."""
    model.save(work / "model.keras")
    restore = Restorer(model)
    scores = score(restore, test_pairs)
    summary = summarise(scores)
    comparison(restore, test_pairs, scores).save(work / "comparison.png")
    with open(work / "history.csv", newline="") as file:
        epochs = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    run = {
        "epochs_completed": len(epochs),
        "best_epoch": max(epochs, key=lambda row: row["val_psnr"])["epoch"],
        "settings": dataclasses.asdict(settings),
        "pooling": pooling,
        "parameters": model.count_params(),
        "score": {"split": "test", "protocol": "full", **summary},
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in ("unet_deblur_tf", "tensorflow", "keras", "numpy")},
        },
    }
    (work / "run.json").write_text(json.dumps(run, indent=1) + "\n")
    kept = [work / name for name in RUN_FILES]
    folder = saved_model.publish(model, base, {path.name: path for path in kept})
    for path in kept:
        with write_by_rename(base / path.name) as partial:
            shutil.copy2(path, partial)
    write_configs(base.parent)
    return folder, summary
