"""Publishes a trained network: chooses its pooling, scores it, and exports it with the files of its run."""

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
from unet_deblur_tf.models.loading import POOLING_WINDOW, at_chosen_scales
from unet_deblur_tf.models.transforms import pooling_of, squeeze_layers, with_local_pooling
from unet_deblur_tf.restoring.restorer import Restorer
from unet_deblur_tf.utils.files import write_by_rename

POOLING_LIMIT = 16  # number of validation pictures for the choice of pooling


def choose_pooling(model, crop, val_pairs, wanted="auto"):
    """Chooses global or local pooling for squeeze-and-excitation.

    Args:
        model: `keras.Model` with global pooling.
        crop: int, side of the training crops in pixels.
        val_pairs: list of `Pair`, the validation pictures, which are scored at full size.
        wanted: one of `configs.POOLINGS`; "auto" for the one with the higher PSNR on the validation pictures.

    Returns:
        (the model with that pooling, dict with the choice and the scores for `run.json`). For a network without
        squeeze-and-excitation, (the model, None).
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
    """Scores and exports the network, and writes the files of the run.

    The files (`export.RUN_FILES`) go into the `assets.extra/` of the new version and into the model base path.

    Args:
        model: `keras.Model`, the best network of the run.
        settings: `train.Settings`.
        base: `Path`, the model base path.
        work: `Path`, the run's work folder.
        test_pairs: list of `Pair`.
        pooling: dict or None, as `choose_pooling` returns it.

    Returns:
        (`Path` of the version folder, summary of the scores, see `report.summarise`).
    """
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
    files = [work / name for name in RUN_FILES]
    folder = saved_model.publish(at_chosen_scales(model), base, {path.name: path for path in files})
    for path in files:
        with write_by_rename(base / path.name) as partial:
            shutil.copy2(path, partial)
    write_configs(base.parent)
    return folder, summary
