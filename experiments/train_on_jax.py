"""Trains a network for a time or so many steps on a GPU that JAX has, on crops that `stream.py` renders meanwhile.

pip install "jax[cuda13]"
KERAS_BACKEND=jax python experiments/train_on_jax.py unet --stream runs/stream --seconds 400 --output runs/unet
python experiments/ship.py runs/unet/last.keras unet

The recipe is that of `train.py`, in bfloat16. Crops are cut, flipped and turned on the GPU; the rate falls from
`--rate` to 0 as a cosine, after a warm-up. Besides the last weights their moving average is kept: `last.keras` and
`average.keras`, written every two minutes and at the end, with `run.json`. `--capacity` crops take 0.6 MB each on the
GPU; what is rendered beyond them is not used.
"""

import argparse
import functools
import json
import math
import time
from pathlib import Path

import numpy as np
from stream import GROUPS, REAL, SIDE

from unet_deblur_tf.commands import flags
from unet_deblur_tf.configs import LOSSES, RECIPES, VARIANTS
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.utils import scripts
from unet_deblur_tf.utils.files import write_by_rename

RECIPE = RECIPES["default"]
SHARES = {name: group.share for name, group in GROUPS.items()} | REAL
STEPS = 20  # in a call of the compiled function
SAVE_EVERY, LOOK_EVERY = 120.0, 10.0  # seconds


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variant", choices=VARIANTS)
    parser.add_argument("--stream", type=Path, required=True, help="what stream.py writes")
    parser.add_argument("--output", type=Path, required=True, help="a folder that is not there yet")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--seconds", type=float, help="to train for, from the first step on")
    length.add_argument("--steps", type=flags.positive_int, help=f"to train for, rounded up to {STEPS}")
    parser.add_argument("--batch-size", type=flags.positive_int, default=32, help="default: %(default)s")
    parser.add_argument("--crop", type=flags.positive_int, default=192, help="a multiple of 32 (default: %(default)s)")
    rate = RECIPE["learning_rate"]
    parser.add_argument("--rate", dest="learning_rate", type=float, default=rate, help="default: %(default)s")
    parser.add_argument("--warmup", type=float, default=0.05, help="as a part of the whole (default: %(default)s)")
    parser.add_argument("--average", type=float, default=0.999, help="decay of the average (default: %(default)s)")
    parser.add_argument("--precision", choices=["float32", "mixed_bfloat16"], default="mixed_bfloat16")
    parser.add_argument("--capacity", type=flags.positive_int, default=16_000, help="crops (default: %(default)s)")
    parser.add_argument("--start-from", type=Path, help="a .keras file of the same variant and recipe")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main(arguments):
    import keras

    from unet_deblur_tf.models.transforms import weight_signature
    from unet_deblur_tf.models.unet import build

    if keras.config.backend() != "jax":
        raise InputError(f"Keras runs on {keras.config.backend()}: set the environment variable KERAS_BACKEND=jax")
    if arguments.output.exists():
        raise InputError(f"{arguments.output} is there already")
    if arguments.crop % 32 or arguments.crop > SIDE:
        raise InputError(f"--crop must be a multiple of 32 up to {SIDE}, not {arguments.crop}")
    keras.utils.set_random_seed(arguments.seed)
    keras.config.set_dtype_policy(arguments.precision)
    network = build(arguments.variant, **{key: RECIPE[key] for key in ("norm", "head", "activation")})
    if arguments.start_from:
        source = keras.saving.load_model(arguments.start_from, compile=False)
        if weight_signature(source) != weight_signature(network):
            raise InputError(f"--start-from {arguments.start_from} has other layers than this {arguments.variant}")
        network.set_weights(source.get_weights())
    wait_for(arguments.stream)
    arguments.output.mkdir(parents=True)
    train(network, arguments)


def wait_for(folder):
    """Returns when there are crops of every group that is rendered."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: start stream.py first")
    while missing := [name for name in GROUPS if not list((folder / name).glob("[!.]*.npy"))]:
        print(f"Waiting for {', '.join(missing)} in {folder}", flush=True)
        time.sleep(2)


def train(network, arguments):
    import jax
    import jax.numpy as jnp

    from unet_deblur_tf.training import jax_step
    from unet_deblur_tf.training.optimizers import make_optimizer

    trained = jax_step.for_jax(network)
    optimizer = make_optimizer(RECIPE["optimizer"], arguments.learning_rate)
    state = jax_step.initial_state(trained, optimizer)
    step = jax_step.train_step(trained, optimizer, LOSSES[RECIPE["loss"]])
    pool = Pool(arguments.stream, arguments.capacity)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def steps(state, average, crops, starts, counts, rate, key):
        state = jax_step.with_rate(state, optimizer, rate)

        def one(carry, key):
            state, average = carry
            state, loss = step(state, *draw(key, crops, starts, counts, arguments.batch_size, arguments.crop))
            kept = arguments.average
            average = [kept * old + (1 - kept) * new for old, new in zip(average, state[0])]
            return (state, average), loss

        (state, average), losses = jax.lax.scan(one, (state, average), jax.random.split(key, STEPS))
        return state, average, losses.mean()

    average = [jnp.array(value) for value in state[0]]
    key = jax.random.key(arguments.seed)
    flops = jax_step.convolution_flops(network, arguments.crop)
    pool.read()
    begin = saved = said = None
    done, losses = 0, []
    device = jax.devices()[0].device_kind
    print(f"{network.name}: {network.count_params():,} parameters on {device}, compiling", flush=True)
    compiling = time.perf_counter()
    while True:
        if arguments.steps:
            part = done / arguments.steps
        else:
            part = (time.perf_counter() - begin) / arguments.seconds if begin else 0.0
        if part >= 1:
            break
        warmth = min(1, (part + 1e-3) / max(arguments.warmup, 1e-3))
        rate = arguments.learning_rate * warmth * (1 + math.cos(math.pi * part)) / 2
        key, own = jax.random.split(key)
        state, average, loss = steps(state, average, pool.crops, pool.starts, pool.counts, rate, own)
        losses.append(loss)
        done += STEPS
        if begin is None:
            loss.block_until_ready()
            begin = saved = said = time.perf_counter()
            print(f"first {STEPS} steps after {begin - compiling:.0f} s", flush=True)
            continue
        if len(losses) > 2:
            losses[-3].block_until_ready()  # not further ahead of the GPU, so that time is kept
        now = time.perf_counter()
        if now - said > LOOK_EVERY:
            said = now
            speed = (done - STEPS) * arguments.batch_size / (now - begin)
            print(
                f"{now - begin:4.0f} s, {done} steps, loss {float(np.mean(losses[-20:])):.4f}, rate {rate:.2e}, "
                f"{speed:.0f} crops/s, {speed * flops / 1e12:.0f} TFLOP/s, pairs {pool.counts.tolist()}",
                flush=True,
            )
            pool.read()
        if now - saved > SAVE_EVERY:
            saved = now
            write(network, state[0], average, arguments, done, device)
    write(network, state[0], average, arguments, done, device)
    print(f"{done} steps of {arguments.batch_size} crops of {arguments.crop}x{arguments.crop}", flush=True)


def write(network, last, average, arguments, done, device):
    """Writes both networks, and `run.json` with what `ship.py` puts into the manifest."""
    save(network, last, arguments.output / "last.keras")
    save(network, average, arguments.output / "average.keras")
    given = {key: value for key, value in vars(arguments).items() if value is not None and not isinstance(value, Path)}
    settings = {**RECIPE, **given, "steps": done, "device": device}
    with write_by_rename(arguments.output / "run.json") as partial:
        partial.write_text(json.dumps({"settings": settings}, indent=1) + "\n")


def draw(key, crops, starts, counts, batch_size, crop):
    """A batch of (blurred, sharp), float32 in 0..1: of each group by its share, anywhere, in any of eight positions."""
    import jax
    import jax.numpy as jnp

    keys = jax.random.split(key, 5)
    logits = jnp.where(counts > 0, jnp.log(jnp.array(list(SHARES.values()))), -jnp.inf)
    group = jax.random.categorical(keys[0], logits, shape=(batch_size,))
    within = jnp.floor(jax.random.uniform(keys[1], (batch_size,)) * counts[group]).astype("int32")
    corner = jax.random.randint(keys[2], (batch_size, 2), 0, SIDE - crop + 1)

    def cut(index, corner):
        return jax.lax.dynamic_slice(crops, (index, 0, *corner, 0), (1, 2, crop, crop, 3))[0]

    pairs = jax.vmap(cut)(starts[group] + within, corner)
    flips = jax.random.bernoulli(keys[3], shape=(3, batch_size, 1, 1, 1, 1))
    pairs = jnp.where(flips[0], pairs[:, :, ::-1], pairs)
    pairs = jnp.where(flips[1], pairs[:, :, :, ::-1], pairs)
    pairs = jnp.where(flips[2], pairs.swapaxes(2, 3), pairs)
    pairs = pairs.astype("float32") / 255
    return pairs[:, 0], pairs[:, 1]


class Pool:
    """Crops on the GPU, uint8 `(capacity, 2, SIDE, SIDE, 3)`: each group has a part of its own, by its share."""

    def __init__(self, folder, capacity):
        import jax
        import jax.numpy as jnp

        self.folder = folder
        self.sizes = np.array([int(share * capacity) for share in SHARES.values()])
        self.starts = np.concatenate([[0], np.cumsum(self.sizes)[:-1]]).astype("int32")
        self.counts = np.zeros(len(SHARES), "int32")
        self.seen = set()
        self.crops = jnp.zeros((self.sizes.sum(), 2, SIDE, SIDE, 3), "uint8")
        self.put = jax.jit(jax.lax.dynamic_update_slice, donate_argnums=0)

    def read(self):
        """Takes what has been rendered since, as far as there is room."""
        for number, name in enumerate(SHARES):
            for path in sorted((self.folder / name).glob("[!.]*.npy")):
                room = self.sizes[number] - self.counts[number]
                if path in self.seen or not room:
                    continue
                self.seen.add(path)
                new = np.load(path)[:room]
                self.crops = self.put(self.crops, new, (self.starts[number] + self.counts[number], 0, 0, 0, 0))
                self.counts[number] += len(new)


def save(network, trainable, path):
    """Writes the network with these values of its trainable variables, which are all that it has without norm."""
    from unet_deblur_tf.training import jax_step

    jax_step.put_back(network, [trainable])
    with write_by_rename(path) as partial:
        network.save(partial)


if __name__ == "__main__":
    scripts.run(main, parse_arguments())
