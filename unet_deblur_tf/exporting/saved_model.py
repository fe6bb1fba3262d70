"""Exports networks as SavedModels for TensorFlow Serving, in numbered version folders.

saved_models/concat_se/     the model base path
    1/  2/  ...             versions; a version folder appears only when it is complete
"""

import math
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
import tensorflow as tf

from unet_deblur_tf.acceleration.inference import PICTURE, for_inference
from unet_deblur_tf.exporting import server_files
from unet_deblur_tf.exporting.decoding import decode_upright, if_picture, if_within
from unet_deblur_tf.models.finding import next_version
from unet_deblur_tf.utils.files import remove_stale

MAX_PIXELS = 1920 * 1200  # default limit of a request


def export(model: keras.Model, folder: str | Path, max_pixels: int = MAX_PIXELS) -> None:
    """Writes a network as a SavedModel with two signatures.

    `serving_default` takes `image`, float32 `(batch, height, width, 3)` in 0..1. It returns `restored`, of the same
    shape, clipped to 0..1.

    `serving_bytes` takes `image_bytes`, string `(batch,)`: PNG, JPEG, GIF, BMP or WebP files of any sizes. It returns
    `restored_bytes`, string `(batch,)`: PNG files, upright according to a JPEG's EXIF orientation.

    A picture that cannot be decoded, has too many pixels, has other than three channels or values far outside 0..1 is
    rejected before the network runs, with the status INVALID_ARGUMENT and a message.

    Args:
        model: `keras.Model` from and to pictures.
        folder: path of a folder that does not exist yet.
        max_pixels: int, the largest number of pixels of a whole batch `image`, and of each picture in `image_bytes`.
            The pictures of `image_bytes` go through the network one after the other.
    """

    fast = for_inference(model)

    # Both signatures call this function, so that the network is traced, stored and loaded once.
    @tf.function(input_signature=[PICTURE])
    def restore(image):
        # The output is float32 in every precision: TensorFlow Serving's JSON does not know bfloat16.
        return {"restored": tf.clip_by_value(tf.cast(fast(image, training=False), tf.float32), 0.0, 1.0)}

    def restore_tensor(image):
        image = if_within(max_pixels, tf.shape(image)[:3], "image", image)
        return restore(if_picture(image, "image"))

    def restore_file(numbered):
        number, file = numbered
        name = tf.strings.format("image_bytes[{}]", number)
        image = tf.cast(decode_upright(file, name, max_pixels), tf.float32) / 255
        restored = restore(image[tf.newaxis])["restored"][0]
        # `tf.image.convert_image_dtype` would truncate, which darkens pictures by a quarter of a level on average.
        return tf.io.encode_png(tf.cast(tf.round(restored * 255), tf.uint8))

    def restore_files(image_bytes):
        numbered = (tf.range(tf.size(image_bytes)), image_bytes)
        restored = tf.map_fn(restore_file, numbered, parallel_iterations=1, fn_output_signature=tf.string)
        return {"restored_bytes": restored}

    # What plain `tf.saved_model.save` writes loads in Python but fails in TensorFlow Serving, hence ExportArchive.
    # There is no `archive.track(fast)`, since Keras 3.15 would write every variable twice.
    archive = keras.export.ExportArchive()
    archive.add_endpoint("serving_default", restore_tensor, [PICTURE])
    archive.add_endpoint("serving_bytes", restore_files, [tf.TensorSpec((None,), tf.string, name="image_bytes")])
    archive.write_out(str(folder), verbose=False)


def publish(
    model: keras.Model,
    base: str | Path,
    extras: Mapping[str, Path] | None = None,
    max_pixels: int = MAX_PIXELS,
    warmup_sizes: Sequence[tuple[int, int]] | None = None,
) -> Path:
    """Exports a network as the next free version in a model base path.

    The version is written under a temporary name beside the other versions, where TensorFlow Serving ignores it, and
    renamed when it is complete.

    Args:
        model: `keras.Model` from and to pictures.
        base: model base path; it is created if it does not exist.
        extras: dict from names to the files to copy under these names into the version's `assets.extra/`, which
            TensorFlow Serving ignores.
        max_pixels: int, see `export`.
        warmup_sizes: list of (height, width) of the warm-up requests, see `server_files`. None means the default sizes
            within `max_pixels`, if tensorflow-serving-api is installed, which writes the requests.

    Returns:
        `Path` of the version folder.
    """
    base = Path(base)
    base.mkdir(parents=True, exist_ok=True)
    if warmup_sizes is None:
        default_sizes = [size for size in server_files.SIZES if math.prod(size) <= max_pixels]
        warmup_sizes = default_sizes if server_files.available() else []
    remove_stale(base, ".partial-*")
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=base))
    try:
        version = partial / "model"
        export(model, version, max_pixels)
        (version / "assets.extra").mkdir()
        for name, path in (extras or {}).items():
            shutil.copy2(path, version / "assets.extra" / name)
        if warmup_sizes:
            server_files.write_requests(version / "assets.extra" / server_files.FILE, warmup_sizes)
        return version.rename(base / str(next_version(base)))
    finally:
        shutil.rmtree(partial, ignore_errors=True)
