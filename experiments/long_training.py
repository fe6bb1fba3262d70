"""Trains a network for days, in stretches: the same command goes on where the last stretch stopped.

python experiments/long_training.py runs/multiscale --variant multiscale --start-from unet \\
    --photos PHOTOS --pairs GOPRO REDS --video FRAMES --seconds 9000
python experiments/long_training.py runs/multiscale ... --finish 1500
python experiments/ship.py runs/multiscale/finished.keras multiscale

While it trains, other processes render new crops (see `stream.py`), so that each is trained on a few times only. The
rate stays the same. Ctrl-C, a kill or the end of the time lose ten minutes at most. With each state it writes
`average.keras`, with the moving average of the weights. `--finish N` trains N steps more while the rate falls to zero,
and writes `finished.keras` with `run.json`; the next stretch goes on as if it had not been. With several scales, the
results of the smaller ones are trained too. Where JAX has the GPU and TensorFlow has not, set KERAS_BACKEND=jax.
"""

import argparse
import itertools
import json
import math
import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import stream
from gather import pairs_to, training_photos
from stream import GROUPS, REAL, SIDE

from unet_deblur_tf.commands import flags
from unet_deblur_tf.configs import LOSSES, RECIPES, VARIANTS
from unet_deblur_tf.data.pairs import evenly_spaced
from unet_deblur_tf.data.pictures import read_picture
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.utils import scripts
from unet_deblur_tf.utils.files import write_by_rename

RECIPE = RECIPES["default"]
SHARES = {name: group.share for name, group in GROUPS.items()} | REAL
COARSE_LOSS = 0.3  # weight of the loss of each smaller scale
WARMUP = 300  # steps at the start of the first stretch
FEWEST, MOST = 1500, 20_000  # rendered crops that are waited for, and that are kept
REUSE = 3  # how often a crop is trained on, in the mean
SAVE_EVERY, SAY_EVERY, LOOK_EVERY = 600.0, 60.0, 30.0  # seconds


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="folder of the training; it holds the rendered crops, too (12 GB)")
    parser.add_argument("--photos", type=Path, required=True, help="sharp photos")
    parser.add_argument("--pairs", type=Path, nargs="*", default=[], help="folders of real pairs")
    parser.add_argument("--video", type=Path, nargs="*", default=[], help="folders of consecutive sharp frames")
    parser.add_argument("--variant", choices=VARIANTS, default="multiscale", help="default: %(default)s")
    parser.add_argument("--start-from", default=None, metavar="MODEL", help="as train.py takes it")
    parser.add_argument("--seconds", type=float, default=math.inf, help="of this stretch (default: until stopped)")
    parser.add_argument("--steps", type=flags.positive_int, help="of this stretch (default: until stopped)")
    parser.add_argument("--finish", type=flags.positive_int, metavar="STEPS", help="steps in which the rate falls to 0")
    parser.add_argument("--rate", type=float, default=2e-4, help="default: %(default)s")
    parser.add_argument("--batch-size", type=flags.positive_int, default=8, help="default: %(default)s")
    parser.add_argument("--crop", type=flags.positive_int, default=256, help="a multiple of 32 (default: %(default)s)")
    parser.add_argument("--average", type=float, default=0.999, help="decay of the average (default: %(default)s)")
    parser.add_argument("--precision", choices=["float32", "mixed_bfloat16"], default="mixed_bfloat16")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="that render (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main(arguments):
    if arguments.crop % 32 or not 32 <= arguments.crop <= SIDE:
        raise InputError(f"--crop must be a multiple of 32 up to {SIDE}, not {arguments.crop}")
    crops = arguments.output / "crops"
    workers = start_workers(arguments, crops)
    if os.environ.get("KERAS_BACKEND") != "jax":
        scripts.quiet_tensorflow()
    import keras

    keras.config.set_dtype_policy(arguments.precision)
    training = Training(arguments)
    windows = Windows(crops, arguments.seed)
    while not windows.ready():
        if not any(worker.is_alive() for worker in workers) and arguments.workers:
            raise InputError("The processes that render have ended")
        time.sleep(1)
    try:
        if arguments.finish:
            training.run(windows, arguments.finish, math.inf, falling=True)
            training.write_finished()
        else:
            training.run(windows, arguments.steps, arguments.seconds)
    finally:
        for worker in workers:
            worker.terminate()


class Training:
    """A network in training, and its state on disk.

    Attributes:
        step: int, number of steps of all stretches.
    """

    def __init__(self, arguments):
        import keras

        from unet_deblur_tf.models.loading import initialize_from
        from unet_deblur_tf.models.scales import at_scales, scales_of, trunk_of
        from unet_deblur_tf.models.unet import build
        from unet_deblur_tf.training.losses import weighted_loss
        from unet_deblur_tf.training.optimizers import make_optimizer

        if keras.config.backend() == "jax":
            from unet_deblur_tf.training.jax_step import for_jax
        else:
            from unet_deblur_tf.training.compiling import prepare_for_fit

        keras.utils.set_random_seed(arguments.seed)
        self.arguments, self.step = arguments, 0
        self.network = build(arguments.variant, **{key: RECIPE[key] for key in ("norm", "head", "activation")})
        self.scales = scales_of(self.network)
        trunk = trunk_of(self.network)
        if arguments.start_from:
            initialize_from(self.network, arguments.start_from)
        compiled = keras.config.backend() == "jax"
        trained = for_jax(trunk) if compiled else prepare_for_fit(trunk)
        self.model = at_scales(trained, self.scales, every=True) if trunk is not self.network else trained
        optimizer = make_optimizer(RECIPE["optimizer"], arguments.rate)
        optimizer.use_ema, optimizer.ema_momentum = True, arguments.average
        weights = [1.0] + [COARSE_LOSS] * (self.scales - 1)
        losses = [weighted_loss(LOSSES[RECIPE["loss"]])] * self.scales
        self.model.compile(optimizer, losses if self.scales > 1 else losses[0],
                           loss_weights=weights if self.scales > 1 else None, jit_compile=compiled)  # fmt: skip
        optimizer.build(self.model.trainable_variables)
        self.restore()

    @property
    def variables(self):
        return [*self.model.trainable_variables, *self.model.optimizer.variables]

    @property
    def state(self):
        return self.arguments.output / "state.npz"

    def restore(self):
        if not self.state.exists():
            return
        with np.load(self.state) as saved:
            if str(saved["variant"]) != self.arguments.variant:
                raise InputError(f"{self.state} is of the variant {saved['variant']}, not {self.arguments.variant}")
            self.step = int(saved["step"])
            for number, variable in enumerate(self.variables):
                variable.assign(saved[f"v{number}"])
        print(f"Going on after {self.step} steps", flush=True)

    def save(self):
        values = {f"v{number}": np.asarray(variable) for number, variable in enumerate(self.variables)}
        with write_by_rename(self.state) as partial, open(partial, "wb") as file:
            np.savez(file, step=self.step, variant=self.arguments.variant, **values)
        kept = [np.asarray(variable) for variable in self.model.trainable_variables]
        self.model.optimizer.finalize_variable_values(self.model.trainable_variables)  # the moving averages
        self.write("average")
        for variable, value in zip(self.model.trainable_variables, kept):
            variable.assign(value)

    def run(self, windows, steps, seconds, falling=False):
        """Trains for so many steps or seconds; with `falling`, the rate falls to 0 and no state is saved."""
        begin = said = saved = looked = time.perf_counter()
        first, losses = self.step, []
        while (steps is None or self.step - first < steps) and time.perf_counter() - begin < seconds:
            rate = self.arguments.rate * min(1, (self.step + 1) / WARMUP)
            if falling:
                rate *= (1 + math.cos(math.pi * (self.step - first) / steps)) / 2
            self.model.optimizer.learning_rate.assign(rate)
            blurred, sharp = windows.draw(self.step, self.arguments.batch_size, self.arguments.crop)
            targets = [sharp]
            for _ in range(self.scales - 1):
                targets.append(half(targets[-1]))
            loss = self.model.train_on_batch(blurred, targets if self.scales > 1 else sharp)
            losses.append(float(loss[0] if isinstance(loss, list) else loss))  # the sum comes first
            if not math.isfinite(losses[-1]):
                raise InputError(
                    f"The loss at step {self.step} is {losses[-1]}: try a smaller --rate. The state is kept"
                )
            self.model.reset_metrics()
            self.step += 1
            now = time.perf_counter()
            if now - looked > LOOK_EVERY:
                looked = now
                windows.look(trained=self.step * self.arguments.batch_size)
            if now - said > SAY_EVERY:
                said = now
                speed = (now - begin) / (self.step - first)
                print(f"{time.strftime('%H:%M')}  step {self.step}, {speed:.2f} s per step, rate {rate:.2e}, loss "
                      f"{np.mean(losses[-200:]):.4f}, {windows.count()} crops rendered", flush=True)  # fmt: skip
            if now - saved > SAVE_EVERY and not falling:
                saved = now
                self.save()
        if not falling:
            self.save()

    def write(self, name):
        """Writes the network with the weights that it has now; returns the path."""
        from unet_deblur_tf.models.transforms import in_precision

        path = self.arguments.output / f"{name}.keras"
        with write_by_rename(path) as partial:
            in_precision(self.network, "float32").save(partial)
        return path

    def write_finished(self):
        """Writes the network with its last weights, and `run.json` with what `ship.py` puts into the manifest."""
        folder = self.arguments.output
        print(self.write("finished"))
        given = {key: value for key, value in vars(self.arguments).items()
                 if value is not None and not isinstance(value, Path | list) and value != math.inf
                 and key != "workers"}  # fmt: skip
        settings = {**RECIPE, "learning_rate": given.pop("rate"), **given, "steps": self.step}
        with write_by_rename(folder / "run.json") as partial:
            partial.write_text(json.dumps({"settings": settings}, indent=1) + "\n")


class Windows:
    """The rendered crops and the real ones in a folder, from which batches are drawn."""

    def __init__(self, folder, seed):
        self.folder, self.seed = folder, seed
        self.files = {name: {} for name in SHARES}
        self.look(trained=0)

    def look(self, trained):
        """Finds what was rendered since, and says how many crops were trained on, for those who render."""
        for name, files in self.files.items():
            for path in sorted((self.folder / name).glob("[!.]*.npy")):
                files.setdefault(path, np.load(path, mmap_mode="r"))
        for name in GROUPS:  # the oldest make room
            files = self.files[name]
            while len(files) * stream.PER_FILE > MOST * GROUPS[name].share:
                oldest = min(files, key=lambda path: path.stat().st_mtime_ns)
                del files[oldest]
                oldest.unlink()
        if trained:
            with write_by_rename(self.folder / "trained") as partial:
                partial.write_text(str(trained))

    def count(self):
        return sum(len(crops) for name in GROUPS for crops in self.files[name].values())

    def ready(self):
        self.look(trained=0)
        return all(self.files[name] for name in GROUPS)

    def draw(self, step, batch_size, crop):
        """(blurred, sharp), float32 in 0..1: of each group by its share, anywhere, in any of eight positions.

        With the same files, a step has the same crops in every training, however many stretches it took.
        """
        rng = np.random.default_rng([self.seed, step])
        names = [name for name in SHARES if self.files[name]]
        shares = np.array([SHARES[name] for name in names])
        pairs = []
        for name in rng.choice(names, batch_size, p=shares / shares.sum()):
            crops = rng.choice(list(self.files[name]))
            pair = self.files[name][crops]
            top, left = rng.integers(0, SIDE - crop + 1, 2)
            pair = pair[rng.integers(len(pair)), :, top : top + crop, left : left + crop]
            upside_down, mirrored, transposed = rng.random(3) < 0.5
            pair = pair[:, :: -1 if upside_down else 1, :: -1 if mirrored else 1]
            pairs.append(pair.swapaxes(1, 2) if transposed else pair)
        pairs = np.stack(pairs).astype(np.float32) / 255
        return pairs[:, 0], pairs[:, 1]


def half(pictures):
    """Means of 2x2 pixels."""
    batch, height, width, channels = pictures.shape
    return pictures.reshape(batch, height // 2, 2, width // 2, 2, channels).mean((2, 4))


def start_workers(arguments, crops):
    """Writes the crops of real pairs, once, and starts the processes that render."""
    paths = [path for index, path in enumerate(training_photos(arguments.photos)) if index % 10]
    photos = [read_picture(path) for path in paths]
    for name in SHARES:
        (crops / name).mkdir(parents=True, exist_ok=True)
    if arguments.pairs and not list((crops / "pairs").glob("*.npy")):
        pairs = [evenly_spaced(pairs_to("train", folder), stream.REAL_PAIRS) for folder in arguments.pairs]
        stream.save_real(crops / "pairs", [stream.real_crops(some) for some in pairs])
    if arguments.video and not list((crops / "video").glob("*.npy")):
        stream.save_real(crops / "video", [stream.averaged(folder) for folder in arguments.video])
    context = multiprocessing.get_context("fork")  # they share the photos
    workers = [
        context.Process(target=keep_rendering, args=(crops, photos, number, arguments.workers), daemon=True)
        for number in range(arguments.workers)
    ]
    for worker in workers:
        worker.start()
    return workers


def keep_rendering(folder, photos, number, workers):
    """Renders files of crops for as long as the process lives, but not much faster than they are trained on."""
    import cv2

    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the end of the training ends it without a word
    cv2.setNumThreads(1)
    rng = np.random.default_rng([number, time.time_ns()])
    shares = np.array([group.share for group in GROUPS.values()])
    trained = folder / "trained"
    before = _number_in(trained)
    for made in itertools.count():
        name = rng.choice(list(GROUPS), p=shares / shares.sum()) if made >= len(GROUPS) else list(GROUPS)[made]
        pairs = [stream.crop(rng, photos, GROUPS[name]) for _ in range(stream.PER_FILE)]
        stream.save(folder / name, f"{number}-{time.time_ns()}", pairs)
        while made * workers * stream.PER_FILE > FEWEST + (_number_in(trained) - before) / REUSE:
            time.sleep(5)


def _number_in(path):
    return int(path.read_text()) if path.exists() else 0


if __name__ == "__main__":
    scripts.run(main, parse_arguments())
