"""One `export.py` command: which network, in which format, to where."""

import tempfile
from pathlib import Path

from unet_deblur_tf.errors import InputError
from unet_deblur_tf.exporting import saved_model, server_files
from unet_deblur_tf.exporting.onnx_litert import export_litert, export_onnx
from unet_deblur_tf.exporting.server_files import write_configs
from unet_deblur_tf.models.loading import MODELS, find_newest, keras_file, load_network
from unet_deblur_tf.utils.files import make_folder

RUN_FILES = ("model.keras", "history.csv", "run.json", "comparison.png")  # what a run leaves beside its network


def export_network(
    model=None,
    format="savedmodel",
    output=None,
    overwrite=False,
    pooling="auto",
    precision=None,
    max_pixels=None,
    warmup_sizes=None,
    size=None,
):
    """Exports a network from its `.keras` file.

    Args:
        model: see `loading.find_newest`.
        format: "savedmodel", "onnx" or "litert".
        output: model base path for a SavedModel, else the file; None for beside the network, or for
            `saved_models/NAME` where that is a file of another name than training gives it.
        overwrite: bool, replace a file. Versions of a SavedModel are never replaced.
        pooling, precision: see `loading.load`; ONNX and LiteRT are in float32.
        max_pixels: of a SavedModel, see `saved_model.export`.
        warmup_sizes: list of (height, width) for a SavedModel, see `server_files.write_requests`.
        size: (height, width) for LiteRT.

    Returns:
        Lines that say what was written.

    Raises:
        InputError: if there is no such network, options do not go together, or the file exists.
    """
    for name, value, needed in (
        ("max-pixels", max_pixels, "savedmodel"),
        ("warmup", warmup_sizes, "savedmodel"),
        ("precision", precision, "savedmodel"),
        ("size", size, "litert"),
    ):
        if value is not None and format != needed:
            raise InputError(f"--{name} is for --format {needed}, not {format}")
    if format == "litert" and size is None:
        raise InputError("--format litert needs --size, such as 1280x720, the only one that it will take")
    path = find_newest(model)
    source = keras_file(path)
    home = _home(path.resolve())
    if format == "savedmodel":
        base = Path(output) if output else home
        folder = _export_version(path, source, base, pooling, precision, max_pixels, warmup_sizes)
        # Beside a model that was put elsewhere, only where a server's configuration is already.
        if output is None or (base.resolve().parent / "models.config").exists():
            write_configs(base.resolve().parent)
        return published(folder)
    ending = ".onnx" if format == "onnx" else ".tflite"
    target = Path(output) if output else home / f"{home.name}{f'_{size[1]}x{size[0]}' if size else ''}{ending}"
    if target.suffix != ending:
        raise InputError(f"--output must end in {ending} for --format {format}, not {target.name!r}")
    if target.is_dir():
        raise InputError(f"{target} is a folder: --output takes the file's name")
    if target.exists() and not overwrite:
        raise InputError(f"{target} is there already: --overwrite replaces it, --output names another")
    make_folder(target.parent)
    network = load_network(path, pooling)
    if format == "onnx":
        export_onnx(network, target)
    else:
        export_litert(network, target, *size)
    return [f"{target}  ({target.stat().st_size / 1e6:.1f} MB, {network.name})"]


def _home(path):
    """The folder that a network's exports go to by default."""
    if path.suffix == ".keras" and path.name != "model.keras":
        return MODELS / path.stem  # a file alone, with whatever around it, such as the package
    # A version has its network in its assets.extra/, below the model's folder.
    return path.parent.parent.parent if path.parent.name == "assets.extra" else path.parent


def _export_version(path, source, base, pooling, precision, max_pixels, sizes):
    max_pixels = max_pixels or saved_model.MAX_PIXELS
    if sizes and not server_files.available():
        raise InputError('--warmup needs tensorflow-serving-api: pip install "unet_deblur_tf[serving]"')
    for height, width in sizes or ():
        if height * width > max_pixels:
            raise InputError(f"--warmup {width}x{height} has more pixels than the {max_pixels} of --max-pixels")
    make_folder(base)
    network = load_network(path, pooling, precision)
    extras = {name: source.with_name(name) for name in RUN_FILES if source.with_name(name).exists()}
    with tempfile.TemporaryDirectory() as folder:
        # What is exported is what later runs find inside, which need not be the file that was read.
        copy = source if pooling == "auto" and precision is None else Path(folder) / "model.keras"
        if copy != source:
            network.save(copy)
        return saved_model.publish(network, base, {**extras, "model.keras": copy}, max_pixels, sizes)


def published(folder):
    """Lines that say where a version is and how to start the server."""
    folder = Path(folder)
    base = folder.parent
    lines = [f"SavedModel       {folder}/  (for TensorFlow Serving: {base}/ is the model base path)"]
    if not server_files.available() and not (folder / "assets.extra" / server_files.FILE).exists():
        lines.append('                 without warm-up requests, which need pip install "unet_deblur_tf[serving]"')
    return lines
