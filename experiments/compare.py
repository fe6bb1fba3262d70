"""Trains networks that differ in one thing each, equally long on the same data, and scores them side by side.

python experiments/gather.py runs/small --set small --photos PHOTOS/train
python experiments/compare.py recipe --data runs/small --output runs/recipe --test photos=PHOTOS GoPro=GOPRO REDS=REDS
python experiments/compare.py variants --data runs/small --output runs/variants --test ... --seeds 0 1

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

from unet_deblur_tf.variants import VARIANTS

ROOT = Path(__file__).resolve().parents[1]

# What all rows of an experiment share, and by name what each has of its own. Small blur, which a short run can learn.
SHORT = "--difficulty quick --precision mixed_bfloat16 --crop 64 --batch-size 8 --epochs 10"
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
        {variant: f"--variant {variant}" for variant in VARIANTS},
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
    parser.add_argument("--output", type=Path, required=True)
    return parser.parse_args()


def main(arguments):
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
            folder = arguments.output / f"{name.replace(' ', '_').replace(',', '').replace('+', 'and')}-{seed}"
            train = [*shared.split(), *own.split(), "--data", arguments.data, "--seed", seed]
            run(folder, train, sets)
            report(arguments.output, sets)


def run(folder, flags, sets):
    """Trains one row and scores it on each set, as far as that has not been done."""
    if not list(folder.glob("*/run.json")):
        script("train.py", *flags, "--output", folder)
    model = next(folder.glob("*/run.json")).parent
    for name, data in sets.items():
        if not (folder / name / "metrics.json").exists():
            script("evaluate.py", "--model", model, "--data", data, "--report", folder / name)


def absolute(data):
    """A folder as it is called from anywhere; "synthetic" and the like stay."""
    return Path(data).resolve() if Path(data).exists() else data


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
            cells.append("{psnr:+.3f} dB, {ssim:+.4f}".format(**scores["gain"]))
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
