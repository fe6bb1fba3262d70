"""Scores a trained network, or pictures that another program restored, on one data set or several."""

from collections.abc import Sequence
from pathlib import Path

from unet_deblur_tf.data.pairs import evenly_spaced, measure_pairs, require_size
from unet_deblur_tf.data.sources import RealPairs, open_source
from unet_deblur_tf.data.trees.standard_sets import SETS
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.evaluation import metrics
from unet_deblur_tf.evaluation.report import REPORT_FILES, comparison, summarise, write_report
from unet_deblur_tf.evaluation.restored_folder import RestoredFolder
from unet_deblur_tf.evaluation.scoring import score
from unet_deblur_tf.models.finding import find_newest
from unet_deblur_tf.restoring.options import RestoringOptions
from unet_deblur_tf.restoring.restorer import Restorer
from unet_deblur_tf.utils.files import make_folder


def evaluate(model: str | Path | None = None, data: str | Path = "synthetic", **options) -> dict:
    """Scores a trained network on the pairs of a data set, and prints which network and which pairs these are.

    Args:
        model: see `finding.find_model`; None for the newest network under `saved_models/`, or for the default network
            of the package if there is none.
        data: see `sources.open_source`.
        **options: those of `evaluate_sets`.

    Returns:
        The summary, see `report.summarise`, with further keys that describe the network, the pairs and the protocol.

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
        data: list of data sets, each as `sources.open_source` takes it.
        split: "test", "val", "train" or "all"; None for the split that published scores of a standard set refer to,
            and for "test" of any other set.
        limit: the largest number of pictures to score from each set, evenly spaced; None for all.
        protocol: "full", "aligned" or "original", see `scoring`; None for the protocol of a standard set, and for
            "full" with any other set.
        report: folder for `metrics.json`, `per_image.csv` and `comparison.png`. With several sets, each gets a
            subfolder with its name.
        overwrite: bool, whether to replace an existing report.
        restored: folder of pictures that another program restored. They are scored instead of a model, and found by
            name, see `RestoredFolder`.
        blur, sharp, kind, difficulty, cache_dir, data_dir: see `sources.open_source`.
        **restoring: the fields of `RestoringOptions`.

    Returns:
        dict from the name of each set to its summary, see `evaluate`.

    Raises:
        InputError: as `evaluate`; also if `restored` is combined with a model or with options of restoring, or if it
            lacks a picture.
    """
    names = [str(name) for name in data]
    if len({Path(name).resolve() for name in names}) < len(names):
        raise InputError(f"--data names the same twice: {' '.join(names)}")
    folders = report_folders(report, names, overwrite) if report else {}
    sources = {name: open_source(name, blur, difficulty, cache_dir, data_dir, sharp, kind) for name in names}
    for source in sources.values():
        print(source.summary)
    restore, scored = restorer_or_folder(model, restored, restoring)

    parts = {name: split_and_protocol(name, split, protocol) for name in names}
    to_score = {name: pairs_to_score(sources[name], part, limit, restore) for name, (part, _) in parts.items()}
    summaries = {}
    for name, source in sources.items():
        (part, how), pairs = parts[name], to_score[name]
        how_restored = f"pooling {scored['pooling']}, scales {scored['scales'] or 'built in'}"
        of = f"{part}{held_out_text(source, part)}"
        print(f"{scored['model']} on {len(pairs)} pairs of {name} ({of}), protocol {how}, {how_restored}")
        scores = score(restore, pairs, how)
        summary = {"data": name, "source": source.summary, "synthesised": source.synthesised, "split": part}
        summary.update(blur=blur, sharp=sharp, protocol=how, **scored)
        if source.synthesised:
            summary["difficulty"] = difficulty
        summaries[name] = {**summary, **summarise(scores)}
        if report:
            write_report(folders[name], summaries[name], scores, comparison(restore, pairs, scores, how))
    return summaries


def report_folders(report: str | Path, names: list[str], overwrite: bool = False) -> dict[str, Path]:
    """Creates the folders for the reports: one for each set, or `report` itself for a single set.

    Returns:
        dict from the name of each set to its folder.

    Raises:
        InputError: if two sets would have the same folder; and as `prepare_report`.
    """
    folders = [Path(report) / Path(name).name for name in names] if len(names) > 1 else [Path(report)]
    if len(set(folders)) < len(folders):
        raise InputError(f"--report: two of {', '.join(names)} would have the same folder. Score them one by one")
    return {name: prepare_report(folder, overwrite) for name, folder in zip(names, folders)}


def prepare_report(folder: Path, overwrite: bool) -> Path:
    """Creates the folder of a report, if it is missing.

    Raises:
        InputError: if it already contains a report, or cannot be written to.
    """
    existing = [name for name in REPORT_FILES if (folder / name).exists()]
    if existing and not overwrite:
        raise InputError(f"{folder} holds {', '.join(existing)} already: --overwrite replaces them")
    make_folder(folder)
    return folder


def restorer_or_folder(model, restored, restoring):
    """Opens what provides the restored pictures; for the arguments see `evaluate_sets`.

    Returns:
        (a `Restorer` or a `RestoredFolder`, dict that describes it in the summary).
    """
    if restored is not None:
        if model is not None or RestoringOptions(**restoring) != RestoringOptions():
            raise InputError("--restored scores existing pictures: it takes no --model and no options of restoring")
        return RestoredFolder(restored), {"model": f"restored in {restored}", "pooling": "none", "scales": 1}
    model = find_newest(model)
    restore = Restorer(model, **restoring)
    if restore.advice:
        print(restore.advice)
    options = restore.options
    scored = {"model": str(model), "pooling": restore.pooling, "scales": restore.scales, "tile": options.tile}
    more = {
        "ensemble": options.ensemble,
        "precision": restore.precision,
        "runtime": restore.runtime,
        "strength": options.strength,
    }
    return restore, {**scored, **more}


def split_and_protocol(name: str, split: str | None, protocol: str | None) -> tuple[str, str]:
    """Fills in what is None: the split and the protocol of a standard set, "test" and "full" for any other set."""
    standard = SETS.get(name)
    if standard is None:
        return split or "test", protocol or "full"
    return split or standard.split, protocol or standard.protocol


def held_out_text(source, split: str) -> str:
    """What to add to the name of a split if a set of pairs does not name it, or ""."""
    if not isinstance(source, RealPairs) or split in ("all", *source.splits):
        return ""
    count = len(source.pairs("all"))
    return f": {len(source.pairs(split))} of {count} that were held out, --split all scores all of them"


def pairs_to_score(source, split, limit, restore):
    """Opens the pairs of a split and checks all of them before any is scored.

    Args:
        source: a `sources.Source`.
        split, limit: see `evaluate_sets`.
        restore: a `Restorer` or a `RestoredFolder`.

    Returns:
        List of `Pair` with their sizes.

    Raises:
        InputError: if there are no pairs, a picture is too small for SSIM, or the `RestoredFolder` lacks one.
    """
    pairs = measure_pairs(evenly_spaced(source.pairs(split), limit))
    require_size(pairs, metrics.SSIM_WINDOW, "by SSIM")
    if isinstance(restore, RestoredFolder):
        _check_restored(restore, pairs)
    return pairs


def _check_restored(folder, pairs):
    """Refuses a `RestoredFolder` in which a picture is missing, or would have to stand for two or for another one."""
    owners = {}
    for pair in pairs:
        path = folder.path_for(pair)
        other = owners.setdefault(path, pair)
        if other is not pair:
            place = "/".join(part for part in (pair.sequence, pair.name) if part)
            raise InputError(
                f"{path} would be both {other.blur} and {pair.blur} restored. One is missing, or they need names "
                f"such as {place}.png"
            )
    in_folders = {path: None for path, pair in owners.items() if folder.agreement(path, pair) > 1}
    for path, pair in owners.items():
        if in_folders and pair.sequence and path.parent != folder.folder and path not in in_folders:
            raise InputError(
                f"{path} would be {pair.blur} restored by its name alone, while {next(iter(in_folders))} has the "
                f"folder of its pair, too: it should lie in a folder {pair.sequence}/"
            )
