"""Finds and loads trained networks: by name, from a `.keras` file, or from a folder that training wrote.

TensorFlow is imported only for a foreign SavedModel, so that networks load on other Keras backends, too.
"""

import json
from pathlib import Path

import keras

from unet_deblur_tf.errors import InputError, first_line
from unet_deblur_tf.models import pretrained
from unet_deblur_tf.models.transforms import in_precision, squeeze_layers, weight_signature, with_local_pooling

MODELS = Path("saved_models")
LATEST = "latest"
POOLING_WINDOW = 1.5  # times the training crop, as Chu et al. found best (ECCV 2022)


def load(model: str | Path | None = None, pooling: str = "auto", precision: str | None = None) -> keras.Model:
    """Loads a trained network as a Keras model.

    Args:
        model: the name of a network that comes with the package, such as "unet" or "lite" (None for its default), or a
            path, see `find_model`.
        pooling: of squeeze-and-excitation, see `restoring.options.RestoringOptions`.
        precision: a Keras dtype policy such as "mixed_bfloat16"; None for that of the file.

    Returns:
        A `keras.Model` from and to float32 pictures `(batch, height, width, 3)` in 0..1; see `unet.unet`.

    Raises:
        InputError: if there is no such network, or its file is damaged.

    Example:

    >>> import unet_deblur_tf
    >>> network = unet_deblur_tf.load("lite")
    >>> network.count_params()
    1057532
    """
    return load_network(keras_file(find_model(model)), pooling, precision)


def find_model(model: str | Path | None = None, models: str | Path = MODELS) -> Path:
    """The `.keras` file or SavedModel version folder that a `--model` value stands for.

    Args:
        model: a `.keras` file, a SavedModel folder, a folder of numbered versions (the newest is taken), the name of a
            network that comes with the package, such as "lite", or "latest" for the newest version under `models`;
            None for the default network of the package.
        models: folder of model base paths.

    Raises:
        InputError: if there is none, saying what there is.
    """
    if model is None:
        return pretrained.find()
    if model == LATEST:
        if found := newest_version(models):
            return found
        raise InputError(f"--model {LATEST}: there is no trained network under {models}/")
    named, path = str(model), Path(model)
    if (path.is_file() and path.suffix == ".keras") or (path / "saved_model.pb").is_file():
        return path
    if versions(path):
        return path / str(versions(path)[-1])
    if path.exists():
        raise InputError(f"{path} is neither a .keras file nor a SavedModel folder, nor does it hold numbered versions")
    if found := pretrained.find(named):
        return found
    raise InputError(
        f"No such model: {named}. --model takes a .keras file, a folder that training wrote, '{LATEST}', "
        f"or a network that comes with the package: {', '.join(pretrained.manifest()['networks'])}"
    )


def find_newest(model: str | Path | None = None, models: str | Path = MODELS) -> Path:
    """What `find_model` finds, but for None the newest network trained here, if there is one."""
    return find_model(model or (LATEST if newest_version(models) else None), models)


def newest_version(models):
    """The SavedModel version folder under a folder of model base paths that was written last, or None."""
    found = [base / str(number) for base in Path(models).glob("*/") for number in versions(base)]
    return max(found, key=lambda folder: folder.stat().st_mtime_ns, default=None)


def load_network(path, pooling="auto", precision=None):
    """The Keras model of what `find_model` found, or of a foreign SavedModel something that is called like one.

    Args:
        path: `Path` of a `.keras` file or a SavedModel folder.
        pooling, precision: see `load`.

    Raises:
        InputError: if the file cannot be loaded or is not as it was shipped, or pooling or precision cannot be had
            from it.
    """
    file = _keras_file(path)
    pretrained.check(file)
    try:
        network = keras.saving.load_model(file, compile=False) if file.exists() else ForeignSavedModel(path)
    except Exception as error:  # a damaged file can fail in any way
        raise InputError(f"{path} cannot be loaded as a model: {first_line(error)}") from error
    for flag, value, usual in (("pooling", pooling, "auto"), ("precision", precision, None)):
        if isinstance(network, ForeignSavedModel) and value != usual:
            raise InputError(f"{path} has its {flag} built in: --{flag} {value} needs the model.keras it came from")
    return adapt_network(network, pooling, precision, file.with_name("run.json"))


def adapt_network(network, pooling="auto", precision=None, run=None):
    """A network with another pooling or precision.

    Args:
        network: `keras.Model`.
        pooling, precision: see `load`.
        run: `Path` of the `run.json` that says the training crop, which local pooling needs.

    Raises:
        InputError: if local pooling is asked for and the training crop is not known.
    """
    if precision is not None:
        network = in_precision(network, precision)
    if pooling == "auto":
        return network
    if pooling == "global" or not squeeze_layers(network):
        return with_local_pooling(network, None)
    return with_local_pooling(network, POOLING_WINDOW * _training_crop(run))


def keras_file(path):
    """The `.keras` file of what `find_model` found.

    Raises:
        InputError: for a foreign SavedModel, which has none.
    """
    if not _keras_file(path).exists():
        raise InputError(f"{path} is a SavedModel without the model.keras it came from: name a .keras file")
    return _keras_file(path)


def _keras_file(path):
    return path if path.suffix == ".keras" else path / "assets.extra/model.keras"


def _training_crop(run):
    if run is None:
        raise InputError("Local pooling of a model needs its training crop: use `transforms.with_local_pooling`")
    try:
        return json.loads(run.read_text())["settings"]["crop"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"--pooling local needs the training crop, which {run} should say, and does not") from error


class ForeignSavedModel:
    """The signature of a SavedModel, called like a Keras model."""

    name, layers = "", ()

    def __init__(self, path):
        import tensorflow as tf

        self._saved = tf.saved_model.load(str(path))  # the signature alone does not keep its variables alive
        self._serve = self._saved.signatures["serving_default"]
        if list(self._serve.structured_outputs) != ["restored"]:
            raise ValueError(f"its outputs are {list(self._serve.structured_outputs)}, not 'restored'")

    def __call__(self, image, training=False):
        return self._serve(image=image)["restored"]


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


def initialize_from(network, path):
    """Gives a network the weights of a trained one, to go on from there on other data or with other settings.

    Args:
        network: `keras.Model`.
        path: as `find_model` takes it.

    Raises:
        InputError: if what is there is not a network of the same layers and shapes.
    """
    source = load_network(find_model(path))
    if weight_signature(network) != weight_signature(source):
        raise InputError(
            f"--start-from {path} is a {source.name or 'SavedModel'} with other layers than this {network.name}: "
            "--variant, --norm, --head and --activation must be those that it was trained with"
        )
    for layer in network.layers:
        layer.set_weights(source.get_layer(layer.name).get_weights())
