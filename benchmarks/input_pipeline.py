"""Crops per second and peak memory of the input pipeline, beside what most projects do, on the same pictures.

python benchmarks/input_pipeline.py                          300 pairs of 1280x720: 60 are made, each taken as five
python benchmarks/input_pipeline.py --times 35 --modes disk  as many as GoPro has for training
python benchmarks/input_pipeline.py --data DIR --times 1     a real set

Rows:
    memory, disk, none   `train.py --cache`; `disk, cold` with the file first dropped from the system's cache
    naive                tf.data: decode both pictures, cut one crop (what most projects do)
    torch                PyTorch's DataLoader doing that with 2 workers (extra `bench`)
    limit                copying crops of uint8 and turning them into float32 in NumPy alone, one thread per core

A crop is a pair of 224x224 pixels, float32 in 0..1, in batches of 16. Each row runs in a
process of its own, after a warm-up that fills the caches; rows take turns, and the median is given.
"""

import argparse
import concurrent.futures
import contextlib
import json
import os
import platform
import statistics
import time
from pathlib import Path

import numpy as np
from common import in_own_process, peak_memory

from unet_deblur_tf.commands import flags
from unet_deblur_tf.utils import scripts

MODES = ("memory", "disk", "disk, cold", "none", "naive", "torch", "limit")
LABELS = {"none": "none (12 crops a decode)", "naive": "naive tf.data", "torch": "PyTorch DataLoader, 2 workers"}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder of pairs; default: pairs made for this")
    parser.add_argument("--pairs", type=flags.positive_int, default=60, help="how many to make (default: %(default)s)")
    parser.add_argument(
        "--times", type=flags.positive_int, default=5, help="take each for so many pictures (default: %(default)s)"
    )
    parser.add_argument("--cache-dir", type=Path, help="where they are kept; default: the user's cache folder")
    parser.add_argument("--modes", nargs="*", choices=MODES, default=MODES)
    parser.add_argument("--crop", type=flags.positive_int, default=224)
    parser.add_argument("--batch-size", type=flags.positive_int, default=16)
    parser.add_argument("--seconds", type=flags.positive_float, default=8, help="of each measurement")
    parser.add_argument("--repeat", type=flags.positive_int, default=3)
    parser.add_argument("--one", choices=MODES, help=argparse.SUPPRESS)  # a row in its own process
    return parser.parse_args()


def make_pairs(count, cache_dir):
    """Street scenes and leaves of 1280x720 with GoPro-like blur, as PNGs compressed as usual; returns their folder."""
    from PIL import Image
    from tqdm import tqdm

    from unet_deblur_tf.configs import DIFFICULTIES
    from unet_deblur_tf.data.synthesis.blur import blurred_pair, canvas_size
    from unet_deblur_tf.data.synthesis.scenes import scene

    difficulty = DIFFICULTIES["large"]
    folder = cache_dir / "benchmark/train/MADE"

    def make(number):
        path = folder / f"sharp/{number:06}.png"
        if path.exists():
            return
        rng = np.random.default_rng([99, number])
        canvas = canvas_size(difficulty)
        pair = blurred_pair(rng, scene(rng, *canvas), scene(rng, *canvas), difficulty)
        for kind, picture in zip(("blur", "sharp"), pair):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(folder / kind / f"{number:06}.png")

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(tqdm(pool.map(make, range(count)), "Making pictures", count, unit="pair"))
    return cache_dir / "benchmark"


def our_batches(mode, pairs, arguments):
    from unet_deblur_tf.data.pipeline import training_batches
    from unet_deblur_tf.data.store import open_store
    from unet_deblur_tf.training.train import CROPS_WITHOUT_CACHE

    cache = mode.split(",")[0]
    store = open_store(pairs, cache, arguments.cache_dir)
    if cache == "memory":
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(store.load, range(len(store))))
    if mode == "disk":
        _ = sum(int(store.load(number).sum()) for number in range(len(store)))  # read once
    if mode == "disk, cold":
        with open(store.path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    crops = CROPS_WITHOUT_CACHE if cache == "none" else 1
    return iter(training_batches(store, arguments.batch_size, arguments.crop, crops_per_picture=crops))


def naive_batches(pairs, arguments):
    """As tutorials have it, and as well as it can be done: parallel decoding in TensorFlow, prefetching."""
    import tensorflow as tf

    crop = arguments.crop

    def load(blur, sharp):
        both = tf.stack([tf.io.decode_png(tf.io.read_file(path), channels=3) for path in (blur, sharp)])
        window = tf.image.random_crop(both, (2, crop, crop, 3))
        window = tf.image.random_flip_up_down(tf.image.random_flip_left_right(window))
        window = tf.image.convert_image_dtype(window, tf.float32)
        return window[0], window[1]

    files = [[str(pair.blur) for pair in pairs], [str(pair.sharp) for pair in pairs]]
    dataset = tf.data.Dataset.from_tensor_slices(tuple(files)).shuffle(len(pairs)).repeat()
    dataset = dataset.map(load, num_parallel_calls=tf.data.AUTOTUNE)
    return iter(dataset.batch(arguments.batch_size).prefetch(tf.data.AUTOTUNE))


def torch_batches(pairs, arguments):
    import torch
    from PIL import Image

    class Pairs(torch.utils.data.Dataset):
        def __len__(self):
            return 10**9

        def __getitem__(self, number):
            pair = pairs[torch.randint(len(pairs), ()).item()]
            blurred, sharp = (np.asarray(Image.open(path).convert("RGB")) for path in (pair.blur, pair.sharp))
            top, left = (torch.randint(extent - arguments.crop + 1, ()).item() for extent in sharp.shape[:2])
            window = np.stack([p[top : top + arguments.crop, left : left + arguments.crop] for p in (blurred, sharp)])
            for axis in (1, 2):
                if torch.rand(()) < 0.5:
                    window = np.flip(window, axis)
            return torch.from_numpy(window.copy()).permute(0, 3, 1, 2).float() / 255

    return iter(torch.utils.data.DataLoader(Pairs(), arguments.batch_size, num_workers=2))


def limit_batches(pairs, arguments):
    """The bare memory traffic: crops copied out of decoded pictures at random, then float32."""
    from unet_deblur_tf.data.pictures import read_picture

    pictures = [[read_picture(pair.blur), read_picture(pair.sharp)] for pair in pairs[:20]]
    rng, crop = np.random.default_rng(0), arguments.crop
    shape = (arguments.batch_size, 2, crop, crop, 3)

    def batch(seed):
        rng = np.random.default_rng(seed)
        copied, floats = np.empty(shape, np.uint8), np.empty(shape, np.float32)
        for window in copied:
            both = pictures[rng.integers(len(pictures))]
            top, left = (rng.integers(extent - crop + 1) for extent in both[0].shape[:2])
            for picture, out in zip(both, window):
                out[...] = picture[top : top + crop, left : left + crop]
        floats[...] = copied
        floats *= np.float32(1 / 255)
        return floats

    threads = os.cpu_count()
    pool = concurrent.futures.ThreadPoolExecutor(threads)
    waiting = [pool.submit(batch, seed) for seed in range(2 * threads)]
    while True:
        waiting.append(pool.submit(batch, int(rng.integers(2**31))))
        yield waiting.pop(0).result()


def memory_of_all():
    """Bytes that this process and its children have held at most."""
    import psutil

    total = peak_memory()
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(OSError):  # it has ended
            total += peak_memory(child.pid)
    return total


def one_row(arguments):
    from unet_deblur_tf.data.trees.tree import find_pairs

    pairs = [pair for split in find_pairs(Path(arguments.data)).values() for pair in split]
    pairs *= arguments.times  # nothing below can tell, save that the files are sooner in the system's cache
    if arguments.one == "naive":
        batches = naive_batches(pairs, arguments)
    elif arguments.one == "torch":
        batches = torch_batches(pairs, arguments)
    elif arguments.one == "limit":
        batches = limit_batches(pairs, arguments)
    else:
        batches = our_batches(arguments.one, pairs, arguments)
    if arguments.one != "disk, cold":
        # Not counted: starting up, and the buffers that are full by then.
        deadline = time.perf_counter() + max(2, arguments.seconds / 2)
        while time.perf_counter() < deadline:
            next(batches)
    else:
        next(batches)
    count, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < arguments.seconds:
        next(batches)
        count += arguments.batch_size
    print(json.dumps([count / elapsed, memory_of_all()]), flush=True)
    os._exit(0)  # without waiting for workers


def measure(mode, arguments):
    flags = ["--one", mode, "--data", arguments.data]
    for name in ("crop", "batch_size", "seconds", "cache_dir", "times"):
        flags += [f"--{name.replace('_', '-')}", getattr(arguments, name)]
    return in_own_process(__file__, *flags)


def main(arguments):
    from unet_deblur_tf.utils.files import default_cache

    arguments.cache_dir = arguments.cache_dir or default_cache()
    if arguments.one:
        scripts.quiet_tensorflow()
        return one_row(arguments)
    arguments.data = arguments.data or make_pairs(arguments.pairs, arguments.cache_dir)
    rows = {mode: [] for mode in arguments.modes}
    for _ in range(arguments.repeat):
        for mode, row in rows.items():
            row.append(measure(mode, arguments))
    rates = {mode: statistics.median(rate for rate, _ in row) for mode, row in rows.items()}
    crop = arguments.crop
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores; {arguments.data}")
    print(f"each taken {arguments.times} times; crops {crop}x{crop}, batch {arguments.batch_size}")
    print(f"median of {arguments.repeat}\n")
    print(f"{'':32}{'crops/s':>10}{'x naive':>10}{'peak memory':>14}   crops/s of each repeat")
    for mode, row in rows.items():
        ratio = f"{rates[mode] / rates['naive']:.1f}" if "naive" in rates else ""
        memory = f"{max(peak for _, peak in row) / 1e9:.2f} GB"
        each = ", ".join(f"{rate:.0f}" for rate, _ in row)
        print(f"{LABELS.get(mode, mode):32}{rates[mode]:10.0f}{ratio:>10}{memory:>14}   {each}")


if __name__ == "__main__":
    scripts.run(main, parse_arguments())
