"""Reports scores: means with confidence intervals, tables, files and a sheet of pictures."""

import csv
import json
import math

import numpy as np

from unet_deblur_tf.evaluation.scoring import SSIM_NAMES, Score, read_pair, restored_picture
from unet_deblur_tf.utils.files import write_by_rename
from unet_deblur_tf.utils.sheets import comparison_sheet

REPORT_FILES = ("metrics.json", "per_image.csv", "comparison.png")
FEWEST_FOR_INTERVAL = 10  # the smallest number of pictures for a confidence interval


def summarise(scores: list[Score]) -> dict:
    """Summarises the scores of all pictures, as `metrics.json` contains them.

    Args:
        scores: list of `Score`.

    Returns:
        dict with these keys:
            "images": number of pictures.
            "input", "restored", "gain": dict of the means "psnr" and "ssim". With ten pictures or more also
                "psnr_interval" and "ssim_interval", 95 % bootstrap intervals.
            "sequences": if there are several, a dict from each sequence to the same entries without intervals.
            "seconds_per_picture": median.
    """
    summary = {"images": len(scores), **_means(scores, intervals=len(scores) >= FEWEST_FOR_INTERVAL)}
    sequences: dict[str, list[Score]] = {}
    for item in scores:
        sequences.setdefault(item.sequence, []).append(item)
    if len(sequences) > 1:
        summary["sequences"] = {
            name: {"images": len(items), **_means(items, intervals=False)} for name, items in sequences.items()
        }
    summary["seconds_per_picture"] = float(np.median([item.seconds for item in scores]))
    return summary


def _means(scores, intervals):
    table = {}
    for metric in ("psnr", "ssim"):
        before = np.array([getattr(item, f"input_{metric}") for item in scores])
        after = np.array([getattr(item, f"restored_{metric}") for item in scores])
        for row, values in (("input", before), ("restored", after), ("gain", after - before)):
            table.setdefault(row, {})[metric] = float(values.mean())
            if intervals:
                table[row][f"{metric}_interval"] = bootstrap_interval(values)
    return table


def bootstrap_interval(values, resamples=10_000, seed=0):
    """Computes the 95 % interval of a mean by the bootstrap.

    Args:
        values: array `(pictures,)`.
        resamples: int, number of resamples.
        seed: int.

    Returns:
        [low, high], floats.

    Reference: Efron, "Bootstrap methods: another look at the jackknife", 1979.
    """
    chosen = np.random.default_rng(seed).integers(len(values), size=(resamples, len(values)))
    return [float(limit) for limit in np.percentile(values[chosen].mean(axis=1), [2.5, 97.5])]


def table(summary: dict) -> str:
    """Formats a summary (see `summarise`) as text: rows for the blurred input, the restored picture and the gain."""
    with_interval = "psnr_interval" in summary["gain"]
    width = max([14, *(len(name) for name in summary.get("sequences", ()))])
    psnr_head, ssim_head = "PSNR (dB)", SSIM_NAMES[summary.get("protocol", "full")]
    cell = 24 if with_interval else 10
    lines = [f"{'':{width}}  {psnr_head:<{cell}}{ssim_head}"]
    for row, label in (("input", "blurred input"), ("restored", "restored"), ("gain", "gain")):
        sign = "+" if row == "gain" else ""
        figures = summary[row]
        psnr, ssim = f"{figures['psnr']:{sign}.2f}", f"{figures['ssim']:{sign}.4f}"
        if with_interval:
            psnr += " [{:{s}.2f}, {:{s}.2f}]".format(*figures["psnr_interval"], s=sign)
            ssim += " [{:{s}.4f}, {:{s}.4f}]".format(*figures["ssim_interval"], s=sign)
        lines.append(f"{label:<{width}}  {psnr:<{cell}}{ssim}")
    if "sequences" in summary:
        lines.append("")
        lines.append(f"{'sequence':<{width}}  images  input            restored")
        for name, rows in summary["sequences"].items():
            before, after = (f"{rows[row]['psnr']:.2f} / {rows[row]['ssim']:.4f}" for row in ("input", "restored"))
            lines.append(f"{name or '.':<{width}}  {rows['images']:6}  {before}   {after}")
    lines.append("")
    note = "; [95 % interval of the mean]" if with_interval else ""
    if summary.get("synthesised"):
        note += f"; blurred here by synthesis, difficulty {summary['difficulty']}"
    lines.append(f"{summary['images']} pictures, {summary['seconds_per_picture']:.3f} s per picture (median){note}")
    return "\n".join(lines)


def table_of_sets(summaries: dict[str, dict]) -> str:
    """Formats the summaries of several data sets as one table, with a row for each set.

    Args:
        summaries: dict from the name of the set to its summary.
    """
    width = max(len(name) for name in summaries)
    lines = [f"{'':{width}}  images  {'blurred input':<16}  {'restored':<16}  {'gain':<16}  s per picture"]
    for name, rows in summaries.items():
        before, after = (f"{rows[row]['psnr']:.2f} / {rows[row]['ssim']:.4f}" for row in ("input", "restored"))
        gain = f"{rows['gain']['psnr']:+.2f} / {rows['gain']['ssim']:+.4f}"
        note = "" if rows["protocol"] == "full" else f"  ({rows['protocol']})"
        cells = f"{rows['images']:6}  {before:<16}  {after:<16}  {gain:<16}  {rows['seconds_per_picture']:.3f}"
        lines.append(f"{name:<{width}}  {cells}{note}")
    lines += ["", "PSNR (dB) / SSIM, means over the pictures; (aligned): aligned with the sharp picture before scoring"]
    return "\n".join(lines)


def write_report(folder, summary, scores, sheet):
    """Writes `metrics.json`, `per_image.csv` and `comparison.png`.

    Args:
        folder: `Path` of an existing folder.
        summary: dict, see `summarise`.
        scores: list of `Score`.
        sheet: `PIL.Image.Image`, see `comparison`.
    """
    with write_by_rename(folder / "metrics.json") as path:
        path.write_text(json.dumps(summary, indent=1) + "\n")
    as_given = dict(newline="", encoding="utf-8", errors="surrogateescape")  # a name need not be valid UTF-8
    with write_by_rename(folder / "per_image.csv") as path, open(path, "w", **as_given) as file:
        writer = csv.writer(file)
        writer.writerow(Score._fields)
        writer.writerows(scores)
    with write_by_rename(folder / "comparison.png") as path:
        sheet.save(path, format="PNG")


def comparison(restore, pairs, scores, protocol="full", rows=3):
    """Draws a sheet of blurred, restored and sharp pictures side by side, from the largest gain to the smallest.

    Args:
        restore, pairs, protocol: as for `scoring.score`.
        scores: list of `Score`, the result of `scoring.score`.
        rows: int, number of pictures. They are evenly spaced by gain, so that the sheet also shows failures.

    Returns:
        `PIL.Image.Image`.
    """
    by_gain = sorted(range(len(pairs)), key=lambda index: scores[index].input_psnr - scores[index].restored_psnr)
    rows = min(rows, len(pairs))
    chosen = [by_gain[math.floor(position)] for position in np.linspace(0, len(pairs) - 1, rows)]
    ssim_name = SSIM_NAMES[protocol]
    table_rows = []
    for index in chosen:
        blurred, sharp = read_pair(pairs[index], protocol)
        restored = restored_picture(restore, pairs[index], blurred, protocol)
        item = scores[index]
        title = f"{item.sequence}/{item.name}" if item.sequence else item.name
        table_rows.append(
            [
                (blurred, f"blurred  {item.input_psnr:.2f} dB  {ssim_name} {item.input_ssim:.4f}"),
                (restored, f"restored  {item.restored_psnr:.2f} dB  {ssim_name} {item.restored_ssim:.4f}"),
                (sharp, f"sharp  ({title})"),
            ]
        )
    return comparison_sheet(table_rows)
