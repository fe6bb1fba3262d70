"""A trained network as a function from a blurred picture to a restored one.

restore = load_restorer("saved_models/concat_se")
sharp = restore(blurred)                   # uint8 (height, width, 3) -> the same
"""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from unet_deblur_tf import layers  # noqa: F401  (registers what `.keras` files of these networks hold)
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.serving import versions

MODELS = Path("saved_models")


def find_model(path=None, models=MODELS):
    """The `.keras` file or SavedModel version folder that a `--model` value stands for.

    Args:
        path: a `.keras` file, a SavedModel folder, or a folder of numbered versions (the
            newest is taken); None for the newest version under `models`.

    Raises:
        InputError: if there is none, saying what to run.
    """
    if path is None:
        found = [base / str(number) for base in Path(models).glob("*/") for number in versions(base)]
        if not found:
            raise InputError(
                f"No model under {models}/. Train one: python train.py --variant concat_se; or name one with --model"
            )
        return max(found, key=lambda folder: folder.stat().st_mtime_ns)
    path = Path(path)
    if (path.is_file() and path.suffix == ".keras") or (path / "saved_model.pb").is_file():
        return path
    if versions(path):
        return path / str(versions(path)[-1])
    if not path.exists():
        raise InputError(f"No such model: {path}")
    raise InputError(f"{path} is neither a .keras file nor a SavedModel folder, nor does it hold numbered versions")


def load_restorer(path):
    """Loads what `find_model` found.

    Returns:
        A function from a uint8 `(height, width, 3)` RGB picture to the restored one,
        the same shape, clipped and rounded to 8 bit.

    Raises:
        InputError: if the file cannot be loaded.
    """
    path = Path(path)
    try:
        if path.suffix == ".keras":
            network = keras.saving.load_model(path, compile=False)
            run = tf.function(
                lambda image: network(image, training=False),
                input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32)],
            )
        else:
            saved = tf.saved_model.load(str(path))
            serve = saved.signatures["serving_default"]
            if list(serve.structured_outputs) != ["restored"]:
                raise ValueError(f"its outputs are {list(serve.structured_outputs)}, not 'restored'")

            def run(image, saved=saved):  # a signature alone does not keep its variables alive
                return serve(image=image)["restored"]

    except (OSError, ValueError, KeyError, TypeError, tf.errors.OpError) as error:
        raise InputError(f"{path} cannot be loaded as a model: {str(error).splitlines()[0]}") from error

    def restore(picture):
        restored = run(tf.constant(picture[np.newaxis].astype(np.float32) / 255))[0]
        return np.round(np.clip(restored, 0, 1) * 255).astype(np.uint8)

    return restore
