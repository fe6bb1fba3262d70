"""Loads trained networks: by name, from a `.keras` file, or from a folder that training wrote.

Networks load on every Keras backend. Only a SavedModel without its Keras model needs TensorFlow.
"""

import json
from pathlib import Path

import keras

from unet_deblur_tf.errors import InputError, first_line
from unet_deblur_tf.models import pretrained
from unet_deblur_tf.models.finding import find_model, keras_file, keras_file_of
from unet_deblur_tf.models.growing import grow_from
from unet_deblur_tf.models.scales import at_scales, scales_of, trunk_of
from unet_deblur_tf.models.transforms import in_precision, squeeze_layers, with_local_pooling

BLENDED_SCALES = 2  # of a network that was trained at one scale
POOLING_WINDOW = 1.5  # times the training crop, as Chu et al. found best (ECCV 2022)


def load(model: str | Path | None = None, pooling: str = "auto", precision: str | None = None) -> keras.Model:
    """Loads a trained network as a Keras model.

    Args:
        model: the name of a network that comes with the package, such as "unet" or "lite"; None for the default one; or
            a path, see `finding.find_model`.
        pooling: "auto", "local" or "global" squeeze-and-excitation, see `restoring.options.RestoringOptions`.
        precision: a Keras dtype policy such as "mixed_bfloat16"; None for that of the file.

    Returns:
        A `keras.Model` from and to float32 pictures `(batch, height, width, 3)` in 0..1, see `unet.unet`.

    Raises:
        InputError: if there is no such network, its file is damaged, or it is a SavedModel without its Keras model.

    Example:

    >>> import unet_deblur_tf
    >>> network = unet_deblur_tf.load("lite")
    >>> network.count_params()
    1057532
    """
    return load_network(keras_file(find_model(model)), pooling, precision)


def load_network(path: Path, pooling: str = "auto", precision: str | None = None) -> "keras.Model | ForeignSavedModel":
    """Loads the network that `finding.find_model` found.

    Args:
        path: `Path` of a `.keras` file or a SavedModel folder.
        pooling, precision: see `load`.

    Returns:
        A `keras.Model`; for a SavedModel without its Keras model, a `ForeignSavedModel`.

    Raises:
        InputError: if the file cannot be loaded, a file that comes with the package was changed, or the network cannot
            take this pooling or precision.
    """
    file = keras_file_of(path)
    pretrained.check(file)
    try:
        network = keras.saving.load_model(file, compile=False) if file.exists() else ForeignSavedModel(path)
    except Exception as error:  # a damaged file can fail in any way
        raise InputError(f"{path} cannot be loaded as a model: {first_line(error)}") from error
    for flag, value, usual in (("pooling", pooling, "auto"), ("precision", precision, None)):
        if isinstance(network, ForeignSavedModel) and value != usual:
            raise InputError(f"{path} has its {flag} built in: --{flag} {value} needs the model.keras it came from")
    if precision is None and is_stored_in_half(network):
        precision = "float32"
    return adapt_network(network, pooling, precision, file)


def is_stored_in_half(network: "keras.Model | ForeignSavedModel") -> bool:
    """Whether the weights are in float16, which halves a file. Such a network computes in float32 once it is loaded."""
    return any(weight.dtype == "float16" for weight in getattr(network, "weights", ()))


def adapt_network(
    network: keras.Model, pooling: str = "auto", precision: str | None = None, file: Path | None = None
) -> keras.Model:
    """Changes the pooling and the precision of a network.

    Args:
        network: `keras.Model`.
        pooling, precision: see `load`.
        file: `Path` of its `.keras` file, which tells the training crop that local pooling needs.

    Returns:
        A `keras.Model`; `network` itself if nothing changes.

    Raises:
        InputError: if pooling is "local" and the training crop is unknown.
    """
    if precision is not None:
        network = in_precision(network, precision)
    if pooling == "auto":
        return network
    if pooling == "global" or not squeeze_layers(network):
        return with_local_pooling(network, None)
    return with_local_pooling(network, POOLING_WINDOW * _training_crop(file))


def at_chosen_scales(
    network: "keras.Model | ForeignSavedModel", scales: int | None = None
) -> "keras.Model | ForeignSavedModel":
    """Combines the passes of a network over a picture at several sizes, see `scales.at_scales`.

    Args:
        network: as `load_network` returns it.
        scales: int, the number of sizes; None for those that the network was saved with, or `BLENDED_SCALES` if it was
            saved as a network of one scale.

    Returns:
        A `keras.Model`. A model that `unet.unet` did not build, and a `ForeignSavedModel`, are returned as they are.

    Raises:
        InputError: if such a network is asked for several scales.
    """
    trunk = trunk_of(network)
    if not {"pad", "out_crop"} <= {layer.name for layer in trunk.layers}:  # `unet.unet` did not build it
        if scales not in (None, 1):
            raise InputError(f"--scales {scales} needs a network that this package built, with its .keras file")
        return network
    own = BLENDED_SCALES if trunk is network else scales_of(network)
    return at_scales(trunk, scales or own)


def _training_crop(file):
    """The side of the crops that a network was trained on, from the manifest of the package or its own `run.json`."""
    if file is None:
        raise InputError("Local pooling of a model needs its training crop: use `transforms.with_local_pooling`")
    if entry := pretrained.entry(file):
        return entry["settings"]["crop"]
    run = file.with_name("run.json")
    try:
        return json.loads(run.read_text())["settings"]["crop"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"--pooling local needs the training crop, which {run} should say, and does not") from error


class ForeignSavedModel:
    """A SavedModel without its Keras model: only its serving signature can be called.

    Args:
        path: `Path` of the SavedModel folder.

    Raises:
        ValueError: if the signature does not return "restored".
    """

    name, layers = "", ()

    def __init__(self, path):
        import tensorflow as tf

        self._saved = tf.saved_model.load(str(path))  # keeps the variables alive, which the signature does not
        self._serve = self._saved.signatures["serving_default"]
        if list(self._serve.structured_outputs) != ["restored"]:
            raise ValueError(f"its outputs are {list(self._serve.structured_outputs)}, not 'restored'")

    def __call__(self, image, training=False):
        return self._serve(image=image)["restored"]


def initialize_from(network: keras.Model, path: str | Path) -> None:
    """Starts a network from the weights of a trained one, as `growing.grow_from` does.

    Args:
        network: `keras.Model` that receives the weights.
        path: the trained network, as for `finding.find_model`.

    Raises:
        InputError: if the networks do not fit.
    """
    source = load_network(find_model(path))
    if isinstance(source, ForeignSavedModel):
        raise InputError(f"--start-from {path} is a SavedModel without the model.keras it came from")
    grow_from(network, source, f"--start-from {path}")
