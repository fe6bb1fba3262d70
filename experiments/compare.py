"""Trains networks that differ in one thing each, equally long on the same data, and scores them side by side.

python experiments/compare.py recipe --photos PHOTOS --pairs GoPro=DIR REDS=DIR --output runs/recipe

`EXPERIMENTS` holds the rows: a name and the flags of train.py in which it differs. What is
finished is skipped and what was interrupted goes on when the same command is given again.
The output gets a folder per row (all that train.py and evaluate.py write), `table.md` and
`curves.png`.
"""

import argparse
import csv
import json
import subprocess
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).resolve().parents[1]

# What all rows of an experiment share, and by name what each has of its own.
EXPERIMENTS = {
    # Small blur, which a short run can learn: 1,500 steps of eight 96x96 windows.
    "recipe": (
        "--variant unet --difficulty quick --precision mixed_bfloat16 --crop 96 --batch-size 8"
        " --epochs 10 --steps-per-epoch 150",
        {
            "default": "",
            "no norm": "--norm none --activation leaky_relu",
            "layer norm": "--norm layer",
            "leaky ReLU": "--activation leaky_relu",
            "sigmoid": "--head sigmoid",
            "SSIM": "--loss ssim",
            "L1": "--loss l1",
            "L1 + Fourier": "--loss l1+fourier",
            "SSIM + L1 + Fourier": "--loss ssim+l1+fourier",
            "rate 3e-4": "--learning-rate 3e-4",
            "rate 2e-3": "--learning-rate 2e-3",
            "no norm, rate 2e-3": "--norm none --activation leaky_relu --learning-rate 2e-3",
            "layer norm, rate 2e-3": "--norm layer --learning-rate 2e-3",
        },
    ),
}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", choices=EXPERIMENTS)
    parser.add_argument("--photos", default="synthetic", help="sharp photos to train on (default: scenes made in code)")
    parser.add_argument("--pairs", nargs="*", default=[], metavar="NAME=DIR", help="real pairs to score on besides")
    parser.add_argument("--rows", nargs="*", help="only these")
    parser.add_argument("--seeds", nargs="+", default=["0"])
    parser.add_argument("--output", type=Path, required=True)
    return parser.parse_args()


def main(arguments):
    shared, rows = EXPERIMENTS[arguments.experiment]
    sets = {"held out": None}
    for pair in arguments.pairs:
        name, _, folder = pair.rpartition("=")
        sets[name or Path(folder).name] = Path(folder).resolve()
    if arguments.photos != "synthetic":
        arguments.photos = Path(arguments.photos).resolve()
    arguments.output = arguments.output.resolve()  # the scripts run in the repository
    for seed in arguments.seeds:
        for name, own in rows.items():
            if arguments.rows and name not in arguments.rows:
                continue
            folder = arguments.output / f"{name.replace(' ', '_').replace(',', '').replace('+', 'and')}-{seed}"
            train = [*shared.split(), *own.split(), "--data", arguments.photos, "--seed", seed]
            run(folder, train, sets)
            report(arguments.output, sets)


def run(folder, flags, sets):
    """Trains one row and scores it on each set, as far as that has not been done."""
    if not list(folder.glob("*/run.json")):
        script("train.py", *flags, "--output", folder)
    model = next(folder.glob("*/run.json")).parent
    settings = json.loads((model / "run.json").read_text())["settings"]
    for name, pairs in sets.items():
        if not (folder / name / "metrics.json").exists():
            data = ["--data", pairs] if pairs else ["--data", settings["data"], "--difficulty", settings["difficulty"]]
            script("evaluate.py", "--model", model, *data, "--report", folder / name)


def script(name, *arguments):
    """Runs one of the project's scripts, shown as it could be typed."""
    command = [name, *map(str, arguments)]
    print("+ python", " ".join(command), flush=True)
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True)


def report(output, sets):
    """Writes `table.md` and `curves.png` of the rows that are finished."""
    folders = sorted(path for path in output.iterdir() if path.is_dir())
    finished = [folder for folder in folders if all((folder / name / "metrics.json").exists() for name in sets)]
    lines = ["| | " + " | ".join(sets) + " |", "|" + "---|" * (len(sets) + 1)]
    figure, axes = plt.subplots(figsize=(9, 5), layout="constrained")
    for folder in finished:
        cells = []
        for name in sets:
            scores = json.loads((folder / name / "metrics.json").read_text())
            gain = scores["restored"]["psnr"] - scores["input"]["psnr"]
            cells.append(f"{gain:+.3f} dB, {scores['restored']['ssim'] - scores['input']['ssim']:+.4f}")
        lines.append(f"| {folder.name} | " + " | ".join(cells) + " |")
        with open(next(folder.glob("*/history.csv")), newline="") as file:
            curve = [float(row["val_psnr"]) for row in csv.DictReader(file)]
        axes.plot(range(1, len(curve) + 1), curve, label=folder.name)
    axes.set(xlabel="epoch", ylabel="validation PSNR (dB)")
    axes.legend(fontsize="small", ncols=2)
    axes.grid(alpha=0.3)
    figure.savefig(output / "curves.png", dpi=110)
    plt.close(figure)
    (output / "table.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(parse_arguments())
