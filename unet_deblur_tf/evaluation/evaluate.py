"""Scores a trained network on a data set."""

from pathlib import Path

from unet_deblur_tf.data.pairs import evenly_spaced, measure_pairs, require_size
from unet_deblur_tf.data.sources import open_source
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.evaluation import metrics
from unet_deblur_tf.evaluation.report import REPORT_FILES, comparison, summarise, write_report
from unet_deblur_tf.evaluation.scoring import score
from unet_deblur_tf.models.loading import find_newest
from unet_deblur_tf.restoring.restorer import Restorer
from unet_deblur_tf.utils.files import make_folder


def evaluate(
    model: str | Path | None = None,
    data: str | Path = "synthetic",
    split: str = "test",
    limit: int | None = None,
    protocol: str = "full",
    report: str | Path | None = None,
    overwrite: bool = False,
    blur: str | None = None,
    sharp: str | None = None,
    kind: str | None = None,
    difficulty: str = "quick",
    cache_dir: str | Path | None = None,
    data_dir: str | Path | None = None,
    **restoring,
) -> dict:
    """Scores a trained network on the pairs of a data set, and prints what is scored on what.

    Args:
        model: see `loading.find_model`; None for the newest network under `saved_models/`, or if there is none for
            the default network of the package.
        data, blur, sharp, kind, difficulty, cache_dir, data_dir: see `sources.open_source`.
        split: "test", "val", "train" or "all".
        limit: score only that many pictures, evenly spaced.
        protocol: "full" or "original", see `scoring`.
        report: folder for `metrics.json`, `per_image.csv` and `comparison.png`.
        overwrite: replace a report that is there.
        **restoring: the fields of `RestoringOptions`.

    Returns:
        The summary, see `report.summarise`, with what was scored on what under further keys.

    Raises:
        InputError: if the model, the data or the report folder cannot be used.
    """
    model = find_newest(model)
    if report:
        report = Path(report)
        taken = [name for name in REPORT_FILES if (report / name).exists()]
        if taken and not overwrite:
            raise InputError(f"{report} holds {', '.join(taken)} already: --overwrite replaces them")
        make_folder(report)
    source = open_source(data, blur, difficulty, cache_dir, data_dir, sharp, kind)
    print(source.summary)
    pairs = measure_pairs(evenly_spaced(source.pairs(split), limit))
    require_size(pairs, metrics.SSIM_WINDOW, "by SSIM")
    restore = Restorer(model, **restoring)
    print(f"{model} on {len(pairs)} pairs of {data} ({split}), protocol {protocol}, pooling {restore.pooling}")
    if restore.advice:
        print(restore.advice)
    scores = score(restore, pairs, protocol)
    options = restore.options
    origin = {"model": str(model), "data": str(data), "source": source.summary, "synthesised": source.synthesised}
    origin.update(split=split, blur=blur, sharp=sharp, protocol=protocol)
    origin.update(pooling=restore.pooling, tile=options.tile, ensemble=options.ensemble)
    origin.update(precision=options.precision, strength=options.strength)
    if source.synthesised:
        origin["difficulty"] = difficulty
    summary = {**origin, **summarise(scores)}
    if report:
        write_report(report, summary, scores, comparison(restore, pairs, scores, protocol))
    return summary
