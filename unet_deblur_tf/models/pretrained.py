"""The trained networks that come with the package: `weights/`, with a model card in its README.

`manifest.json` says which there are, which one is taken where none is named, and what each file's
SHA-256 must be. `experiments/ship.py` writes it.
"""

import hashlib
import json
from pathlib import Path

from unet_deblur_tf.errors import InputError

FOLDER = Path(__file__).parents[1] / "weights"


def manifest(folder=FOLDER):
    """What `manifest.json` holds: {"default": name, "networks": {name: {"file", "sha256", ...}}}; empty without one."""
    path = Path(folder) / "manifest.json"
    return json.loads(path.read_text()) if path.exists() else {"default": None, "networks": {}}


def find(name=None, folder=FOLDER):
    """The file of a network that comes with the package.

    Args:
        name: str, None for the default.
        folder: `Path`.

    Returns:
        `Path`, None if there is no such network.
    """
    found = manifest(folder)
    entry = found["networks"].get(found["default"] if name is None else name)
    return entry and Path(folder) / entry["file"]


def is_own(path, folder=FOLDER):
    """Whether a file lies among those that came with the package."""
    return Path(path).parent.resolve() == Path(folder).resolve()


def check(path, folder=FOLDER):
    """Makes sure that a file that came with the package is as it was shipped; passes any other file.

    Args:
        path: of any file.
        folder: `Path` of what came with the package.

    Raises:
        InputError: if it is missing or differs.
    """
    path = Path(path)
    if not is_own(path, folder):
        return
    for entry in manifest(folder)["networks"].values():
        if entry["file"] != path.name:
            continue
        if not path.exists():
            raise InputError(f"{path} is missing: install the package again, or name another network with --model")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest != entry["sha256"]:
            raise InputError(
                f"{path} is damaged: its SHA-256 is {digest[:12]}..., not {entry['sha256'][:12]}... as shipped. "
                "Install the package again, or name another network with --model"
            )
