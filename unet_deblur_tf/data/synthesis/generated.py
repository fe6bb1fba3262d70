"""Writes synthesised pairs to a folder of PNG files in the cache, once, in the layout of GoPro.

So the rest of the package reads synthesised pairs like any others, and users can look at them. A split is written to a
temporary folder, which is renamed when it is complete. So an interrupted run never leaves an incomplete split.
"""

import concurrent.futures
import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from unet_deblur_tf.configs import Difficulty
from unet_deblur_tf.data.pictures import read_picture
from unet_deblur_tf.data.synthesis.blur import blurred_pair, canvas_size
from unet_deblur_tf.data.synthesis.scenes import scene
from unet_deblur_tf.utils.files import default_cache, make_folder, remove_stale, rename_once

VERSION = 2  # increase it when the same settings give different pictures

SPLIT_NUMBERS = {"train": 0, "val": 1, "test": 2}


def make_split(
    split: str,
    difficulty: Difficulty,
    photos: Sequence[Path] = (),
    seed: int = 0,
    cache_dir: str | Path | None = None,
) -> Path:
    """Makes one split of synthesised pairs, or finds it in the cache.

    Args:
        split: "train", "val" or "test"; each split has different scenes.
        difficulty: `configs.Difficulty`.
        photos: list of `Path` of the sharp photos to blur; empty for scenes made in code.
        seed: int, seed of the random numbers.
        cache_dir: folder for the pairs; None for the user's cache folder.

    Returns:
        `Path` of a folder with `blur/` and `sharp/`.

    Raises:
        InputError: if a photo cannot be read or the cache cannot be written to.
    """
    settings = {
        "version": VERSION,
        "seed": seed,
        "difficulty": describe(difficulty),
        "count": difficulty.scenes[split],
        "photos": [[str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns] for path in photos],
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
    cache = Path(cache_dir) if cache_dir else default_cache()
    folder = cache / f"{'photos' if photos else 'synthetic'}-{digest}" / split
    if folder.is_dir():
        return folder
    make_folder(folder.parent)
    remove_stale(folder.parent, "*.partial-*")
    temporary = Path(tempfile.mkdtemp(prefix=f"{split}.partial-", dir=folder.parent))
    partial = temporary / split  # a folder with the user's default permissions, which `mkdtemp` does not give
    try:
        (partial / "blur").mkdir(parents=True)
        (partial / "sharp").mkdir()
        (partial / "settings.json").write_text(json.dumps(settings, indent=1))
        _write_pairs(partial, split, difficulty, photos, seed)
        rename_once(partial, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def describe(difficulty: Difficulty) -> dict:
    """Returns the settings that determine what the pictures look like, for the name in the cache."""
    described = dataclasses.asdict(difficulty)
    del described["scenes"]
    for name in ("forward", "frames"):  # newer settings: without them, the name is the same as before they existed
        if not described[name]:
            del described[name]
    return described


def _write_pairs(folder, split, difficulty, photos, seed):
    """Writes all pairs of a split in several threads; for the arguments see `make_split`."""
    count = difficulty.scenes[split]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [pool.submit(_write_pair, folder, number, split, difficulty, photos, seed) for number in range(count)]
        try:
            done = concurrent.futures.as_completed(jobs)
            for job in tqdm(done, total=count, desc=f"Blurring {split} scenes", unit="pair"):
                job.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _write_pair(folder, number, split, difficulty, photos, seed):
    """Makes one pair and writes its two files."""
    rng = np.random.default_rng([seed, SPLIT_NUMBERS[split], number])
    moving = split != "train" or rng.random() >= difficulty.unblurred
    if photos:
        # The backdrops take the photos in turn, so that all are used equally often. The objects take any photo.
        backdrop = _photo_region(rng, photos[number % len(photos)], difficulty)
        object_fill = _photo_region(rng, photos[rng.integers(len(photos))], difficulty)
    else:
        backdrop = scene(rng, *canvas_size(difficulty))
        object_fill = scene(rng, *canvas_size(difficulty))
    for kind, picture in zip(("blur", "sharp"), blurred_pair(rng, backdrop, object_fill, difficulty, moving)):
        Image.fromarray(picture).save(folder / kind / f"{number:05d}.png", compress_level=1)


def _photo_region(rng, path, difficulty):
    """A random region of a photo at a random scale. It is enlarged only if the photo is too small."""
    photo, size = read_picture(path), canvas_size(difficulty)
    largest = largest_scale(photo, size)
    # Photos are often soft at full size. Reducing them makes the sharp picture of the pair sharper.
    return region(rng, photo, size, rng.uniform(1, largest) if largest > 1 else largest)


def largest_scale(photo: np.ndarray, size: tuple[int, int]) -> float:
    """Returns the largest `scale` with which `region` can take a region of `size`, (height, width), from a photo."""
    return min(photo.shape[0] / size[0], photo.shape[1] / size[1])


def region(rng: np.random.Generator, photo: np.ndarray, size: tuple[int, int], scale: float) -> np.ndarray:
    """Takes a random region of a photo and resizes it.

    Args:
        rng: `numpy.random.Generator`.
        photo: uint8 `(height, width, 3)`.
        size: (height, width) of the result.
        scale: float, number of pixels of the photo per pixel of the result in each direction, at most
            `largest_scale`. A scale below 1 enlarges.

    Returns:
        float32 `(*size, 3)` in 0..1.
    """
    height, width = size
    rows, columns = int(height * scale), int(width * scale)
    top = rng.integers(photo.shape[0] - rows + 1)
    left = rng.integers(photo.shape[1] - columns + 1)
    photo = photo[top : top + rows, left : left + columns]
    photo = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA if scale > 1 else cv2.INTER_CUBIC)
    return photo.astype(np.float32) / 255
