"""A network as a SavedModel that TensorFlow Serving can run, in numbered version folders.

saved_models/concat_se/     the model base path
    1/  2/  ...             versions, each complete as soon as its name appears
"""

import math
import shutil
import tempfile
from pathlib import Path

import keras
import tensorflow as tf

from unet_deblur_tf.acceleration.inference import PICTURE, for_inference
from unet_deblur_tf.exporting import server_files
from unet_deblur_tf.exporting.decoding import decode_upright, if_within
from unet_deblur_tf.models.loading import next_version
from unet_deblur_tf.utils.files import remove_stale

MAX_PIXELS = 1920 * 1200  # of a request, unless set otherwise


def export(model, folder, max_pixels=MAX_PIXELS):
    """Writes a network as a SavedModel with two signatures.

    `serving_default`: `image` float32 `(batch, height, width, 3)` in 0..1 to `restored`,
    the same, clipped to 0..1.
    `serving_bytes`: `image_bytes` string `(batch,)`, files in PNG, JPEG, GIF, BMP or WebP
    of any sizes, to `restored_bytes` string `(batch,)`, PNG files, upright where a
    JPEG's EXIF data says how.

    What cannot be decoded, and what has too many pixels, is answered by INVALID_ARGUMENT
    and a sentence, before the network runs.

    Args:
        model: `keras.Model` from and to pictures.
        folder: path that does not exist yet.
        max_pixels: int, the most that a tensor `image` may have over its batch, and each
            picture of `image_bytes`, which go through the network one after the other.
    """

    fast = for_inference(model)

    # Both signatures call it, so that the network is traced, kept and loaded once.
    @tf.function(input_signature=[PICTURE])
    def restore(image):
        # Under mixed precision, too, what leaves is float32: TensorFlow Serving's JSON knows no bfloat16.
        return {"restored": tf.clip_by_value(tf.cast(fast(image, training=False), tf.float32), 0.0, 1.0)}

    def restore_tensor(image):
        return restore(if_within(max_pixels, tf.shape(image)[:3], "image", image))

    def restore_file(numbered):
        number, file = numbered
        name = tf.strings.format("image_bytes[{}]", number)
        image = tf.cast(decode_upright(file, name, max_pixels), tf.float32) / 255
        restored = restore(image[tf.newaxis])["restored"][0]
        # `tf.image.convert_image_dtype` would truncate: a quarter of a level darker on average.
        return tf.io.encode_png(tf.cast(tf.round(restored * 255), tf.uint8))

    def restore_files(image_bytes):
        numbered = (tf.range(tf.size(image_bytes)), image_bytes)
        restored = tf.map_fn(restore_file, numbered, parallel_iterations=1, fn_output_signature=tf.string)
        return {"restored_bytes": restored}

    # ExportArchive, since a plain `tf.saved_model.save` loads in Python and fails in TensorFlow Serving.
    # Not `archive.track(fast)`: Keras 3.15 would write every variable twice.
    archive = keras.export.ExportArchive()
    archive.add_endpoint("serving_default", restore_tensor, [PICTURE])
    archive.add_endpoint("serving_bytes", restore_files, [tf.TensorSpec((None,), tf.string, name="image_bytes")])
    archive.write_out(str(folder), verbose=False)


def publish(model, base, extras=(), max_pixels=MAX_PIXELS, warmup_sizes=None):
    """Exports a network as the next free version of a model base path.

    Everything is written under a temporary name beside the versions, which
    TensorFlow Serving passes over, and renamed when complete.

    Args:
        model: `keras.Model`.
        base: model base path, made if missing.
        extras: dict from names in the version's `assets.extra/`, which TensorFlow
            Serving leaves alone, to the files to copy there.
        max_pixels: see `export`.
        warmup_sizes: list of (height, width) of the requests that the server runs while it
            loads the version; None for the usual ones, as far as `max_pixels` allows, if
            tensorflow-serving-api is there to write them.

    Returns:
        `Path` of the version folder.
    """
    base = Path(base)
    base.mkdir(parents=True, exist_ok=True)
    if warmup_sizes is None:
        usual = [size for size in server_files.SIZES if math.prod(size) <= max_pixels]
        warmup_sizes = usual if server_files.available() else []
    remove_stale(base, ".partial-*")
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=base))
    try:
        version = partial / "model"
        export(model, version, max_pixels)
        (version / "assets.extra").mkdir()
        for name, path in dict(extras).items():
            shutil.copy2(path, version / "assets.extra" / name)
        if warmup_sizes:
            server_files.write_requests(version / "assets.extra" / server_files.FILE, warmup_sizes)
        return version.rename(base / str(next_version(base)))
    finally:
        shutil.rmtree(partial, ignore_errors=True)
