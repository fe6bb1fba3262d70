"""The trained networks that come with the package, in `weights/`; the README there is their model card.

`manifest.json` lists the networks, names the default one and holds the SHA-256 of each file. `experiments/ship.py`
writes it.
"""

import hashlib
import json
from pathlib import Path

from unet_deblur_tf.errors import InputError

FOLDER = Path(__file__).parents[1] / "weights"


def manifest(folder: str | Path = FOLDER) -> dict:
    """Reads `manifest.json`.

    Returns:
        dict {"default": name, "networks": {name: {"file", "sha256", ...}}}; without the file, an empty one of this
        form.
    """
    path = Path(folder) / "manifest.json"
    return json.loads(path.read_text()) if path.exists() else {"default": None, "networks": {}}


def find(name: str | None = None, folder: str | Path = FOLDER) -> Path | None:
    """Finds the file of a network that comes with the package.

    Args:
        name: str, or None for the default network.
        folder: path of the folder with the networks and their manifest.

    Returns:
        `Path`, or None if there is no such network.
    """
    contents = manifest(folder)
    entry = contents["networks"].get(contents["default"] if name is None else name)
    return entry and Path(folder) / entry["file"]


def is_own(path: str | Path, folder: str | Path = FOLDER) -> bool:
    """Whether a file lies in the folder of the networks that come with the package."""
    return Path(path).parent.resolve() == Path(folder).resolve()


def entry(path: str | Path, folder: str | Path = FOLDER) -> dict | None:
    """What the manifest says of a file that comes with the package; None for any other file."""
    networks = manifest(folder)["networks"].values() if is_own(path, folder) else ()
    return next((each for each in networks if each["file"] == Path(path).name), None)


def check(path: str | Path, folder: str | Path = FOLDER) -> None:
    """Checks that a file that comes with the package is unchanged. Any other file passes.

    Args:
        path: path of any file.
        folder: path of the folder with the networks and their manifest.

    Raises:
        InputError: if the file is missing, or its SHA-256 differs from the manifest's.
    """
    path = Path(path)
    shipped = entry(path, folder)
    if shipped is None:
        return
    if not path.exists():
        raise InputError(f"{path} is missing: install the package again, or name another network with --model")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != shipped["sha256"]:
        raise InputError(
            f"{path} is damaged: its SHA-256 is {digest[:12]}..., not {shipped['sha256'][:12]}... as shipped. "
            "Install the package again, or name another network with --model"
        )
