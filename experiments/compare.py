"""Trains networks that differ in one thing each, equally long on the same data, and scores them side by side.

python experiments/gather.py runs/small --set small --photos PHOTOS/train
python experiments/compare.py recipe --data runs/small --output runs/recipe --test photos=PHOTOS GoPro=GOPRO REDS=REDS
python experiments/compare.py variants --data runs/small --output runs/variants --test ... --seeds 0 1

`EXPERIMENTS` holds the rows: a name and the flags of train.py in which it differs. What is
finished is skipped and what was interrupted goes on when the same command is given again.
The output gets a folder per row (all that train.py and evaluate.py write), `table.md` (gains, and paired differences of
PSNR to the first row, with 95 % intervals by resampling the pictures) and `curves.png`.
"""

import argparse
import csv
import subprocess
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from unet_deblur_tf.utils import scripts

ROOT = Path(__file__).resolve().parents[1]

# What all rows of an experiment share, and by name what each has of its own. Small blur, which a short run can learn.
COMPARED = ("unet", "concat", "concat_se", "concat_reduce", "concat_reduce_se", "lite")
SHORT = "--difficulty quick --crop 64 --batch-size 8 --epochs 10"
RECIPE = "--norm none --activation leaky_relu --optimizer muon --loss ssim+l1+fourier"
EXPERIMENTS = {
    "recipe": (
        f"--variant lite {SHORT} --steps-per-epoch 150 {RECIPE}",
        {
            "Muon, no norm, SSIM + L1 + Fourier, 1e-3": "",
            "AdamW": "--optimizer adamw",
            "batch norm, ReLU": "--norm batch --activation relu",
            "layer norm": "--norm layer",
            "sigmoid": "--head sigmoid",
            "SSIM": "--loss ssim",
            "L1": "--loss l1",
            "SSIM + L1": "--loss ssim+l1",
            "L1 + Fourier": "--loss l1+fourier",
            "rate 3e-4": "--learning-rate 3e-4",
            "rate 3e-3": "--learning-rate 3e-3",
            "unet": "--variant unet",
            "unet, AdamW": "--variant unet --optimizer adamw",
        },
    ),
    "variants": (
        f"{SHORT} --steps-per-epoch 100 {RECIPE}",
        # `lite` also for about the time of `concat_se`.
        {variant: f"--variant {variant}" for variant in COMPARED}
        | {"lite, longer": "--variant lite --steps-per-epoch 500"},
    ),
}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", choices=EXPERIMENTS)
    parser.add_argument("--data", required=True, help="what train.py trains on")
    parser.add_argument(
        "--test",
        nargs="+",
        default=["scenes=synthetic"],
        metavar="NAME=DATA",
        help="what evaluate.py scores on; sharp photos are blurred (default: scenes made in code)",
    )
    parser.add_argument("--rows", nargs="*", help="only these")
    parser.add_argument("--seeds", nargs="+", default=["0"])
    parser.add_argument("--precision", default="mixed_bfloat16", help="as train.py takes it (default: %(default)s)")
    parser.add_argument("--output", type=Path, required=True)
    return parser.parse_args()


def main(arguments):
    scripts.quiet_tensorflow()
    shared, rows = EXPERIMENTS[arguments.experiment]
    sets = {}
    for test in arguments.test:
        name, _, data = test.partition("=")
        sets[name] = absolute(data)
    arguments.data = absolute(arguments.data)
    arguments.output = arguments.output.resolve()  # the scripts run in the repository
    for seed in arguments.seeds:
        for name, own in rows.items():
            if arguments.rows and name not in arguments.rows:
                continue
            folder = arguments.output / folder_name(name, seed)
            train = [*shared.split(), *own.split(), "--data", arguments.data, "--seed", seed]
            train += ["--precision", arguments.precision]
            run(folder, train, sets)
            report(arguments.output, sets, rows)


def folder_name(name, seed):
    """Of a row's results."""
    return f"{name.replace(' ', '_').replace(',', '').replace('+', 'and')}-{seed}"


def run(folder, flags, sets):
    """Trains one row and scores it on each set, as far as that has not been done."""
    if not list(folder.glob("*/run.json")):
        script("train.py", *flags, "--output", folder)
    model = next(folder.glob("*/run.json")).parent
    for name, data in sets.items():
        if not (folder / name / "metrics.json").exists():
            script("evaluate.py", "--model", model, "--data", data, "--scales", 1, "--report", folder / name)


def absolute(data):
    """A folder as it is called from anywhere; "synthetic" and the like stay."""
    return Path(data).resolve() if Path(data).exists() else data


def script(name, *arguments):
    """Runs one of the project's scripts, shown as it could be typed."""
    command = [name, *map(str, arguments)]
    print("+ python", " ".join(command), flush=True)
    done = subprocess.run([sys.executable, *command], cwd=ROOT)
    if done.returncode:  # it has said why
        sys.exit(done.returncode)


def report(output, sets, rows):
    """Writes `table.md` and `curves.png` of the rows that are finished, also by earlier commands."""
    folders = [folder for name in rows for folder in sorted(output.glob(folder_name(name, "*")))]
    folders = [folder for folder in folders if all((folder / name / "metrics.json").exists() for name in sets)]
    gains = {folder.name: {name: read_gains(folder / name) for name in sets} for folder in folders}
    first = next(iter(gains))

    def cell(row, name):
        return f"{interval(gains[row][name][:, 0], '.2f')} dB, {gains[row][name][:, 1].mean():+.4f}"

    def difference(row, name):
        return interval(gains[row][name][:, 0] - gains[first][name][:, 0], ".3f")

    parts = [f"Gain in PSNR and SSIM\n\n{markdown(sets, list(gains), cell)}"]
    if len(gains) > 1:
        parts.append(f"Gain in PSNR beyond that of {first}\n\n{markdown(sets, list(gains)[1:], difference)}")
    (output / "table.md").write_text("\n\n".join(parts) + "\n")

    figure, axes = plt.subplots(figsize=(9, 5), layout="constrained")
    best = []
    for folder in folders:
        with open(next(folder.glob("*/history.csv")), newline="") as file:
            curve = [float(row["val_psnr"]) for row in csv.DictReader(file)]
        axes.plot(range(1, len(curve) + 1), curve, label=folder.name)
        best.append(max(curve))
    axes.set_ylim(min(best) - 1, max(best) + 0.1)  # a row that diverges would flatten the others
    axes.set(xlabel="epoch", ylabel="validation PSNR (dB)")
    axes.legend(fontsize="small", ncols=2)
    axes.grid(alpha=0.3)
    figure.savefig(output / "curves.png", dpi=110)
    plt.close(figure)


def read_gains(folder):
    """Restored minus blurred of each picture: PSNR and SSIM, `(pictures, 2)`."""
    with open(folder / "per_image.csv", newline="") as file:
        return np.array(
            [
                [float(row[f"restored_{metric}"]) - float(row[f"input_{metric}"]) for metric in ("psnr", "ssim")]
                for row in csv.DictReader(file)
            ]
        )


def interval(values, digits):
    """The mean, and its 95 % interval where there are pictures enough for one."""
    from unet_deblur_tf.evaluation.report import FEWEST_FOR_INTERVAL, bootstrap_interval

    limits = bootstrap_interval(values) if len(values) >= FEWEST_FOR_INTERVAL else ()
    return f"{values.mean():+{digits}}" + (f" [{limits[0]:+{digits}}, {limits[1]:+{digits}}]" if limits else "")


def markdown(sets, rows, cell):
    """A table with a column for each set; `cell` is a function of a row's and a set's name."""
    lines = ["| | " + " | ".join(sets) + " |", "|" + "---|" * (len(sets) + 1)]
    lines += [f"| {row} | " + " | ".join(cell(row, name) for name in sets) + " |" for row in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    scripts.run(main, parse_arguments())
