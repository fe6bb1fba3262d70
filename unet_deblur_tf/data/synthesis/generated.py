"""Synthesised pairs as a folder of PNGs in GoPro's layout, made once and kept in a cache.

Downstream, synthesised pairs are pairs like any others, and people can look at them.
A split is written under a temporary name and renamed when complete, so that an
interrupted run leaves nothing that passes for complete.
"""

import concurrent.futures
import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from unet_deblur_tf.data.pictures import read_picture
from unet_deblur_tf.data.synthesis.blur import blurred_pair, canvas_size
from unet_deblur_tf.data.synthesis.scenes import scene
from unet_deblur_tf.utils.files import default_cache, make_folder, remove_stale

VERSION = 2  # raised when the same settings come to give other pictures

SPLIT_NUMBERS = {"train": 0, "val": 1, "test": 2}


def make_split(split, difficulty, photos=(), seed=0, cache_dir=None):
    """Makes, or finds in the cache, one split of synthesised pairs.

    Args:
        split: "train", "val" or "test"; each has scenes of its own.
        difficulty: a `blur.Difficulty`.
        photos: sharp photos to blur; without any, scenes are made in code.
        seed: int, the pairs are deterministic in it.
        cache_dir: folder to keep them in, the user's cache folder by default.

    Returns:
        `Path` of a folder with `blur/` and `sharp/`.

    Raises:
        InputError: if a photo cannot be read or the cache cannot be written to.
    """
    count = difficulty.scenes[split]
    settings = {
        "version": VERSION,
        "seed": seed,
        "difficulty": describe(difficulty),
        "count": count,
        "photos": [[str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns] for path in photos],
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
    cache = Path(cache_dir) if cache_dir else default_cache()
    folder = cache / f"{'photos' if photos else 'synthetic'}-{digest}" / split
    if folder.is_dir():
        return folder
    make_folder(folder.parent)
    remove_stale(folder.parent, "*.partial-*")
    partial = Path(tempfile.mkdtemp(prefix=f"{split}.partial-", dir=folder.parent))
    made = partial / split  # unlike the folder around it, with the user's ordinary permissions
    try:
        (made / "blur").mkdir(parents=True)
        (made / "sharp").mkdir()
        (made / "settings.json").write_text(json.dumps(settings, indent=1))
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            jobs = [pool.submit(_write_pair, made, number, split, difficulty, photos, seed) for number in range(count)]
            try:
                done = concurrent.futures.as_completed(jobs)
                for job in tqdm(done, total=count, desc=f"Blurring {split} scenes", unit="pair"):
                    job.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        try:
            made.rename(folder)
        except OSError:
            # Another process finished the same split first; its pictures are the same.
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def describe(difficulty):
    """What decides how pictures look, as a dict."""
    described = dataclasses.asdict(difficulty)
    del described["scenes"]
    for name in ("forward", "frames"):  # as it was before there were such things
        if not described[name]:
            del described[name]
    return described


def _write_pair(folder, number, split, difficulty, photos, seed):
    rng = np.random.default_rng([seed, SPLIT_NUMBERS[split], number])
    moving = split != "train" or rng.random() >= difficulty.unblurred
    if photos:
        # In turn, so that every photo is used equally often; the objects come from any of them.
        backdrop = _photo_region(rng, photos[number % len(photos)], difficulty)
        object_fill = _photo_region(rng, photos[rng.integers(len(photos))], difficulty)
    else:
        backdrop = scene(rng, *canvas_size(difficulty))
        object_fill = scene(rng, *canvas_size(difficulty))
    for kind, picture in zip(("blur", "sharp"), blurred_pair(rng, backdrop, object_fill, difficulty, moving)):
        Image.fromarray(picture).save(folder / kind / f"{number:05d}.png", compress_level=1)


def _photo_region(rng, path, difficulty):
    """A random region of a photo at a random scale, never enlarged unless the photo is too small."""
    photo, size = read_picture(path), canvas_size(difficulty)
    largest = largest_scale(photo, size)
    # Photos are often soft at full size: reducing them makes the truth sharp.
    return region(rng, photo, size, rng.uniform(1, largest) if largest > 1 else largest)


def largest_scale(photo, size):
    """How many of a photo's pixels a pixel of a region of this size, (height, width), can be at most."""
    return min(photo.shape[0] / size[0], photo.shape[1] / size[1])


def region(rng, photo, size, scale):
    """A random region of a photo, float32 `(*size, 3)` in 0..1.

    Args:
        rng: `numpy.random.Generator`.
        photo: uint8 `(height, width, 3)`.
        size: (height, width) of the region.
        scale: pixels of the photo per pixel, at most `largest_scale`; below 1 enlarges.
    """
    height, width = size
    taken = int(height * scale), int(width * scale)
    top = rng.integers(photo.shape[0] - taken[0] + 1)
    left = rng.integers(photo.shape[1] - taken[1] + 1)
    photo = photo[top : top + taken[0], left : left + taken[1]]
    photo = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA if scale > 1 else cv2.INTER_CUBIC)
    return photo.astype(np.float32) / 255
