"""Finds trained networks: by name, as a `.keras` file, or in a folder that training wrote. Needs neither Keras nor
TensorFlow.
"""

from pathlib import Path

from unet_deblur_tf.errors import InputError
from unet_deblur_tf.models import pretrained

MODELS = Path("saved_models")
LATEST = "latest"


def find_model(model: str | Path | None = None, models: str | Path = MODELS) -> Path:
    """Finds the file or folder that a `--model` value stands for.

    Args:
        model: one of these:
            - path of a `.keras` file, of a SavedModel folder, or of a folder of numbered versions, for the newest one;
            - name of a network that comes with the package, such as "lite";
            - "latest", for the newest version under `models`;
            - None, for the default network of the package.
        models: folder that contains the model base paths.

    Returns:
        `Path` of a `.keras` file or a SavedModel folder.

    Raises:
        InputError: if there is no such model.
    """
    if model is None:
        default = pretrained.find()
        if default is None:
            raise InputError("The package has no default network: name one with --model")
        return default
    if model == LATEST:
        if newest := newest_version(models):
            return newest
        raise InputError(f"--model {LATEST}: there is no trained network under {models}/")
    named, path = str(model), Path(model)
    if (path.is_file() and path.suffix == ".keras") or (path / "saved_model.pb").is_file():
        return path
    if versions(path):
        return path / str(versions(path)[-1])
    if named and path.exists():
        raise InputError(f"{path} is neither a .keras file nor a SavedModel folder, nor does it hold numbered versions")
    if shipped := pretrained.find(named):
        return shipped
    raise InputError(
        f"No such model: {named or 'a name is missing'}. --model takes a .keras file, a folder that training wrote, "
        f"'{LATEST}', or a network that comes with the package: {', '.join(pretrained.manifest()['networks'])}"
    )


def find_newest(model: str | Path | None = None, models: str | Path = MODELS) -> Path:
    """As `find_model`, except that None stands for the newest network under `models`, if there is one."""
    if model is None and newest_version(models):
        model = LATEST
    return find_model(model, models)


def keras_file(path: Path) -> Path:
    """The `.keras` file of the network that `find_model` found.

    Args:
        path: `Path` of a `.keras` file or a SavedModel folder, which keeps the file in its `assets.extra/`.

    Raises:
        InputError: if a SavedModel has no such file.
    """
    if not keras_file_of(path).exists():
        raise InputError(f"{path} is a SavedModel without the model.keras it came from: name a .keras file")
    return keras_file_of(path)


def keras_file_of(path: Path) -> Path:
    """Where the `.keras` file of a network is, whether it exists or not."""
    return path if path.suffix == ".keras" else path / "assets.extra/model.keras"


def newest_version(models: str | Path) -> Path | None:
    """The version folder that was written last, of all models in the folder `models`; None if there is none."""
    folders = [base / str(number) for base in Path(models).glob("*/") for number in versions(base)]
    return max(folders, key=lambda folder: folder.stat().st_mtime_ns, default=None)


def versions(base: str | Path) -> list[int]:
    """The version numbers of the SavedModels in a model base path, ascending."""
    base = Path(base)
    entries = base.iterdir() if base.is_dir() else ()
    return sorted(int(entry.name) for entry in entries if entry.name.isdigit() and (entry / "saved_model.pb").is_file())


def next_version(base: str | Path) -> int:
    """The next free version number in a model base path. Numbered folders without a model count as taken."""
    base = Path(base)
    entries = base.iterdir() if base.is_dir() else ()
    return max((int(entry.name) for entry in entries if entry.name.isdigit()), default=0) + 1
