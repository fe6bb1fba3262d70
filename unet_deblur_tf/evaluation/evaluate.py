"""Scores a trained network, or pictures that another program restored, on one data set or several."""

from collections.abc import Sequence
from pathlib import Path

from unet_deblur_tf.data.pairs import evenly_spaced, measure_pairs, require_size
from unet_deblur_tf.data.sources import open_source
from unet_deblur_tf.data.trees.standard_sets import SETS
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.evaluation import metrics
from unet_deblur_tf.evaluation.report import REPORT_FILES, comparison, summarise, write_report
from unet_deblur_tf.evaluation.restored_folder import RestoredFolder
from unet_deblur_tf.evaluation.scoring import score
from unet_deblur_tf.models.loading import find_newest
from unet_deblur_tf.restoring.restorer import Restorer
from unet_deblur_tf.utils.files import make_folder


def evaluate(model: str | Path | None = None, data: str | Path = "synthetic", **options) -> dict:
    """Scores a trained network on the pairs of a data set, and prints what is scored on what.

    Args:
        model: see `loading.find_model`; None for the newest network under `saved_models/`, or if there is none for
            the default network of the package.
        data: see `sources.open_source`.
        **options: those of `evaluate_sets`.

    Returns:
        The summary, see `report.summarise`, with what was scored on what under further keys.

    Raises:
        InputError: if the model, the data or the report folder cannot be used.
    """
    (summary,) = evaluate_sets(model, [data], **options).values()
    return summary


def evaluate_sets(
    model: str | Path | None = None,
    data: Sequence[str | Path] = ("synthetic",),
    split: str | None = None,
    limit: int | None = None,
    protocol: str | None = None,
    report: str | Path | None = None,
    overwrite: bool = False,
    restored: str | Path | None = None,
    blur: str | None = None,
    sharp: str | None = None,
    kind: str | None = None,
    difficulty: str = "quick",
    cache_dir: str | Path | None = None,
    data_dir: str | Path | None = None,
    **restoring,
) -> dict[str, dict]:
    """Scores a trained network on several data sets, each by its own protocol.

    Args:
        model: see `evaluate`.
        data: list of what `sources.open_source` takes.
        split: "test", "val", "train" or "all"; None for that of each standard set, "test" for others.
        limit: score only that many pictures, evenly spaced.
        protocol: "full", "aligned" or "original", see `scoring`; None for that of each standard set, "full" for others.
        report: folder for `metrics.json`, `per_image.csv` and `comparison.png`; of several sets, one below it for each.
        overwrite: replace a report that is there.
        restored: folder of pictures that another program restored, to be scored instead of a model's; they are found
            by name, see `RestoredFolder`.
        blur, sharp, kind, difficulty, cache_dir, data_dir: see `sources.open_source`.
        **restoring: the fields of `RestoringOptions`.

    Returns:
        dict from the names of the sets to their summaries, see `evaluate`.

    Raises:
        InputError: see `evaluate`; and if `restored` goes with a model, or lacks a picture.
    """
    names = [str(each) for each in data]
    if len(set(names)) < len(names):
        raise InputError(f"--data names the same twice: {' '.join(names)}")
    reports = {}
    if report:
        folders = [Path(report) / Path(name).name for name in names] if len(names) > 1 else [Path(report)]
        reports = {name: prepare_report(folder, overwrite) for name, folder in zip(names, folders)}
    sources = {name: open_source(name, blur, difficulty, cache_dir, data_dir, sharp, kind) for name in names}
    for source in sources.values():
        print(source.summary)
    restore, scored = restorer_or_folder(model, restored, restoring)
    summaries = {}
    for name, source in sources.items():
        known = SETS.get(name)
        part = split or (known.split if known else "test")
        how = protocol or (known.protocol if known else "full")
        pairs = measure_pairs(evenly_spaced(source.pairs(part), limit))
        require_size(pairs, metrics.SSIM_WINDOW, "by SSIM")
        print(
            f"{scored['model']} on {len(pairs)} pairs of {name} ({part}), protocol {how}, pooling {scored['pooling']}"
        )
        if isinstance(restore, RestoredFolder):
            for pair in pairs:
                restore.path_for(pair)  # whether all are there, before any is scored
        scores = score(restore, pairs, how)
        origin = {"data": name, "source": source.summary, "synthesised": source.synthesised, "split": part}
        origin.update(blur=blur, sharp=sharp, protocol=how, **scored)
        if source.synthesised:
            origin["difficulty"] = difficulty
        summaries[name] = {**origin, **summarise(scores)}
        if report:
            write_report(reports[name], summaries[name], scores, comparison(restore, pairs, scores, how))
    return summaries


def restorer_or_folder(model, restored, restoring):
    """What restores the pictures, a `Restorer` or a `RestoredFolder`, and what to record of it."""
    if restored is not None:
        if model is not None or any(value not in (None, False, "auto", 1.0) for value in restoring.values()):
            raise InputError("--restored scores pictures that are there: it takes no --model, nor how to restore")
        return RestoredFolder(restored), {"model": f"restored in {restored}", "pooling": "none"}
    model = find_newest(model)
    restore = Restorer(model, **restoring)
    if restore.advice:
        print(restore.advice)
    options = restore.options
    scored = {"model": str(model), "pooling": restore.pooling, "tile": options.tile, "ensemble": options.ensemble}
    return restore, {**scored, "precision": options.precision, "strength": options.strength}


def prepare_report(folder, overwrite):
    """The folder of a report, made if missing.

    Raises:
        InputError: if it holds a report already, or cannot be written to.
    """
    taken = [name for name in REPORT_FILES if (folder / name).exists()]
    if taken and not overwrite:
        raise InputError(f"{folder} holds {', '.join(taken)} already: --overwrite replaces them")
    make_folder(folder)
    return folder
