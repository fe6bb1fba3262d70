"""Trains several architectures from nothing for the same time, and compares what they gain.

python experiments/equal_time.py runs/equal --crops runs/multiscale/crops --photos PHOTOS --pairs GOPRO REDS

`CANDIDATES` has the architectures. A training step of each is timed first, in turns, so that it does not matter what
else the machine does later: each gets as many steps as fit into the time. All train on the same crops (of
`long_training.py`) by the recipe of `train.py`. They are scored on crops of photos that were held out, in
the kinds that `stream.py` renders, and on real pairs. What is finished is skipped when the command is given again.
"""

import argparse
import json
import math
import statistics
import time
from pathlib import Path

import numpy as np
import stream
from gather import pairs_to, training_photos
from long_training import Windows
from stream import GROUPS
from tqdm import tqdm

from unet_deblur_tf.commands import flags
from unet_deblur_tf.configs import LOSSES, RECIPES, VARIANTS
from unet_deblur_tf.data.pictures import read_picture
from unet_deblur_tf.utils import scripts
from unet_deblur_tf.utils.files import write_by_rename

RECIPE = RECIPES["default"]
HALF = dict(skips="projected", scale=2)  # the structure of "lite"
ONE_EACH = dict.fromkeys(("inc", "down1", "down2", "down3", "up1", "up2", "up3", "up4"), 1)
CANDIDATES = {
    "unet": VARIANTS["unet"],
    "multiscale": VARIANTS["multiscale"],
    "lite": VARIANTS["lite"],
    "naf": VARIANTS["naf"],
    "lite, twice as wide": dict(**HALF, widths=(96, 128, 192, 192, 128)),
    "lite, wider and deeper": dict(
        **HALF, widths=(80, 112, 160, 192, 192), blocks={"down2": 1, "down3": 2, "down4": 3, "up1": 1}
    ),
    "naf blocks at half the size": dict(
        skips="added", resizing="learned", block="naf", scale=2, widths=(48, 96, 192, 256, 256),
        blocks={**ONE_EACH, "down2": 2, "down3": 6},
    ),
}  # fmt: skip
WARMUP = 0.05  # as a part of the whole
HELD_OUT = 24  # crops of each group


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--crops", type=Path, required=True, help="what long_training.py rendered")
    parser.add_argument("--photos", type=Path, required=True, help="the sharp photos that it rendered from")
    parser.add_argument("--pairs", type=Path, nargs="*", default=[], help="folders of real pairs to score on")
    parser.add_argument("--seconds", type=float, default=600, help="of training each (default: %(default)s)")
    parser.add_argument("--candidates", nargs="+", choices=CANDIDATES, default=list(CANDIDATES), help="only these")
    parser.add_argument("--batch-size", type=flags.positive_int, default=8, help="default: %(default)s")
    parser.add_argument("--crop", type=flags.positive_int, default=128, help="a multiple of 32 (default: %(default)s)")
    parser.add_argument("--precision", choices=["float32", "mixed_bfloat16"], default="mixed_bfloat16")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main(arguments):
    scripts.quiet_tensorflow()
    import keras

    keras.config.set_dtype_policy(arguments.precision)
    arguments.output.mkdir(parents=True, exist_ok=True)
    times = step_times(arguments)
    held_out = held_out_crops(arguments.photos)
    pairs = {folder.name: read_pairs(folder) for folder in arguments.pairs}
    results = {}
    for name in arguments.candidates:
        path = arguments.output / f"{name.replace(' ', '_').replace(',', '')}.json"
        if not path.exists():
            network = trained(name, math.ceil(arguments.seconds / times[name]), arguments, path.with_suffix(".keras"))
            result = {
                "parameters": network.count_params(),
                "seconds per step": times[name],
                **score(network, held_out, pairs),
            }
            with write_by_rename(path) as partial:
                partial.write_text(json.dumps(result, indent=1) + "\n")
        results[name] = json.loads(path.read_text())
        print(table(results), flush=True)


def make(name):
    """A fresh network and the form of it that is compiled."""
    from unet_deblur_tf.models.unet import assemble
    from unet_deblur_tf.training.compiling import prepare_for_fit
    from unet_deblur_tf.training.losses import weighted_loss
    from unet_deblur_tf.training.optimizers import make_optimizer

    network = assemble(**CANDIDATES[name], **{key: RECIPE[key] for key in ("norm", "head", "activation")})
    model = prepare_for_fit(network)
    model.compile(make_optimizer(RECIPE["optimizer"], 0.0), weighted_loss(LOSSES[RECIPE["loss"]]), jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return network, model


def step_times(arguments, turns=9):
    """Seconds of a training step of each candidate, kept in a file: medians of turns."""
    path = arguments.output / "step_times.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    if set(arguments.candidates) <= set(known):
        return known
    batch = np.random.default_rng(0).random((2, arguments.batch_size, arguments.crop, arguments.crop, 3), np.float32)
    models = {name: make(name)[1] for name in arguments.candidates}
    seconds = {name: [] for name in models}
    for turn in tqdm(range(turns + 1), desc="Timing", leave=False):
        for name, model in models.items():
            begin = time.perf_counter()
            model.train_on_batch(*batch)
            if turn:  # the first one traces
                seconds[name].append(time.perf_counter() - begin)
    times = {name: statistics.median(each) for name, each in seconds.items()}
    with write_by_rename(path) as partial:
        partial.write_text(json.dumps(times, indent=1) + "\n")
    return times


def trained(name, steps, arguments, path):
    """The candidate after its training, which is kept: scoring takes long, too, and can be interrupted."""
    from unet_deblur_tf.models.loading import load_network

    if not path.exists():
        network = train(name, steps, arguments)
        with write_by_rename(path) as partial:
            network.save(partial)
    return load_network(path)


def train(name, steps, arguments):
    """Trains a candidate from nothing, with the rate falling to zero."""
    import keras

    keras.utils.set_random_seed(arguments.seed)
    network, model = make(name)
    windows = Windows(arguments.crops, arguments.seed)
    with tqdm(range(steps), desc=name, unit="step") as bar:
        for step in bar:
            part = step / steps
            rate = RECIPE["learning_rate"] * min(1, (part + 1e-3) / WARMUP) * (1 + math.cos(math.pi * part)) / 2
            model.optimizer.learning_rate.assign(rate)
            loss = model.train_on_batch(*windows.draw(step, arguments.batch_size, arguments.crop))
            bar.set_postfix(loss=f"{float(loss):.4f}", refresh=False)
            model.reset_metrics()
    return network


def held_out_crops(folder):
    """Crops of each kind, of the photos that long_training.py leaves out: uint8 `(crops, 2, side, side, 3)`."""
    rng = np.random.default_rng(99)
    photos = [read_picture(path) for path in training_photos(folder)[::10]]
    return {
        name: np.array([stream.crop(rng, photos, group) for _ in range(HELD_OUT)]) for name, group in GROUPS.items()
    }


def read_pairs(folder):
    return [(read_picture(pair.blur), read_picture(pair.sharp)) for pair in pairs_to("test", folder)]


def score(network, held_out, pairs):
    """Mean gain in PSNR on each kind of crops and each folder of pairs, in dB."""
    from unet_deblur_tf.models.loading import at_chosen_scales
    from unet_deblur_tf.models.scales import scales_of, trunk_of
    from unet_deblur_tf.restoring.restorer import Restorer

    own = scales_of(network) if trunk_of(network) is not network else 1  # what was trained, without the blend
    restore = Restorer(at_chosen_scales(network, own), tile=0, precision="float32")
    sets = {**{name: list(crops) for name, crops in held_out.items()}, **pairs}

    def gain(blurred, sharp):
        errors = [np.mean((each.astype(float) - sharp) ** 2) + 1e-3 for each in (blurred, restore(blurred))]
        return 10 * np.log10(errors[0] / errors[1])

    return {name: float(np.mean([gain(*pair) for pair in each])) for name, each in sets.items()}


def table(results):
    """The results as Markdown."""
    columns = list(dict.fromkeys(key for result in results.values() for key in result))
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, result in results.items():
        cells = [f"{result['parameters']:,}", f"{result['seconds per step']:.3f}"]
        lines.append(f"| {name} | " + " | ".join(cells + [f"{result[key]:+.2f}" for key in columns[2:]]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    scripts.run(main, parse_arguments())
