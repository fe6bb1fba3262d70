"""A network as a SavedModel that TensorFlow Serving can run, in numbered version folders.

saved_models/concat_se/     the model base path
    1/  2/  ...             versions, each complete as soon as its name appears
"""

import shutil
import tempfile
from pathlib import Path

import keras
import tensorflow as tf


def export(model, folder):
    """Writes a network as a SavedModel with two signatures.

    `serving_default`: `image` float32 `(batch, height, width, 3)` in 0..1 to `restored`,
    the same, clipped to 0..1.
    `serving_bytes`: `image_bytes` string `(batch,)`, files in PNG, JPEG, GIF, BMP or WebP
    of any sizes, to `restored_bytes` string `(batch,)`, PNG files.

    Args:
        model: `keras.Model` from and to pictures.
        folder: path that does not exist yet.
    """

    def restore(image):
        # Under mixed precision, too, what leaves is float32: TensorFlow Serving's JSON knows no bfloat16.
        return {"restored": tf.clip_by_value(tf.cast(model(image, training=False), tf.float32), 0.0, 1.0)}

    def restore_file(image_bytes):
        image = tf.io.decode_image(image_bytes, channels=3, expand_animations=False)
        image = tf.cast(image, tf.float32) / 255
        restored = restore(image[tf.newaxis])["restored"][0]
        # `tf.image.convert_image_dtype` would truncate: a quarter of a level darker on average.
        return tf.io.encode_png(tf.cast(tf.round(restored * 255), tf.uint8))

    def restore_files(image_bytes):
        return {"restored_bytes": tf.map_fn(restore_file, image_bytes, parallel_iterations=1)}

    # ExportArchive, since a plain `tf.saved_model.save` loads in Python and fails in TensorFlow Serving.
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serving_default", restore, [tf.TensorSpec((None, None, None, 3), tf.float32, name="image")])
    archive.add_endpoint("serving_bytes", restore_files, [tf.TensorSpec((None,), tf.string, name="image_bytes")])
    archive.write_out(str(folder), verbose=False)


def versions(base):
    """The version numbers below a model base path, ascending."""
    base = Path(base)
    entries = base.iterdir() if base.is_dir() else ()
    return sorted(int(entry.name) for entry in entries if entry.name.isdigit() and (entry / "saved_model.pb").is_file())


def next_version(base):
    """The next free version number of a model base path; a folder that holds no model takes its number all the same."""
    base = Path(base)
    entries = base.iterdir() if base.is_dir() else ()
    return max((int(entry.name) for entry in entries if entry.name.isdigit()), default=0) + 1


def publish(model, base, extras=()):
    """Exports a network as the next free version of a model base path.

    Everything is written under a temporary name beside the versions, which
    TensorFlow Serving passes over, and renamed when complete.

    Args:
        model: `keras.Model`.
        base: model base path, made if missing.
        extras: files to copy into the version's `assets.extra/`, which TensorFlow
            Serving leaves alone.

    Returns:
        `Path` of the version folder.
    """
    base = Path(base)
    base.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=base))
    try:
        export(model, partial / "model")
        (partial / "model" / "assets.extra").mkdir()
        for path in extras:
            shutil.copy2(path, partial / "model" / "assets.extra")
        return (partial / "model").rename(base / str(next_version(base)))
    finally:
        shutil.rmtree(partial, ignore_errors=True)
