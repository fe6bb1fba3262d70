"""Exports a trained network: chooses the network, the format and the place, as the command `export` asks."""

import tempfile
from pathlib import Path

from unet_deblur_tf.errors import InputError
from unet_deblur_tf.exporting import saved_model, server_files
from unet_deblur_tf.exporting.onnx_litert import export_litert, export_onnx
from unet_deblur_tf.exporting.openvino_files import export_openvino
from unet_deblur_tf.exporting.server_files import write_configs
from unet_deblur_tf.models.finding import MODELS, find_newest, keras_file
from unet_deblur_tf.models.loading import at_chosen_scales, load_network
from unet_deblur_tf.utils.files import make_folder, remove_partial

RUN_FILES = ("model.keras", "history.csv", "run.json", "comparison.png")  # what a training run writes with its network
ENDINGS = {"onnx": ".onnx", "openvino": ".xml", "litert": ".tflite"}


def export_network(
    model: str | Path | None = None,
    format: str = "savedmodel",
    output: str | Path | None = None,
    overwrite: bool = False,
    pooling: str = "auto",
    precision: str | None = None,
    scales: int | None = None,
    max_pixels: int | None = None,
    warmup_sizes: list[tuple[int, int]] | None = None,
    size: tuple[int, int] | None = None,
    half_weights: bool = False,
    int8: bool = False,
) -> list[str]:
    """Exports a network from its `.keras` file.

    Args:
        model: the network, see `finding.find_newest`.
        format: "savedmodel", "onnx", "openvino" or "litert".
        output: for a SavedModel the model base path, else the file (for OpenVINO the .xml, which has a .bin beside
            it). By default the export goes beside the network. Only for a `.keras` file NAME.keras that is not called
            model.keras, as training calls it, does it go to `saved_models/NAME`.
        overwrite: bool, whether to replace an existing file. Versions of a SavedModel are never replaced.
        pooling, precision: see `loading.load`. Files for other runtimes are always in float32.
        scales: int, at how many sizes of the picture the network runs, see `loading.at_chosen_scales`.
        max_pixels: int, limit of a SavedModel, see `saved_model.export`; None for `saved_model.MAX_PIXELS`.
        warmup_sizes: list of (height, width) for a SavedModel, see `saved_model.publish`.
        size: (height, width) of the pictures that a LiteRT file takes.
        half_weights: bool, whether an ONNX or OpenVINO file stores its weights as float16.
        int8: bool, whether an OpenVINO file has convolutions in 8 bits, see `openvino_files.export_openvino`.

    Returns:
        List of str, lines that say what was written.

    Raises:
        InputError: if there is no such network, the options contradict each other, the file exists, or the folder
            cannot be written to.
    """
    max_pixels = _check_options(format, precision, max_pixels, warmup_sizes, size, half_weights, int8)
    path = find_newest(model)
    source = keras_file(path)
    suffix = f"_{size[1]}x{size[0]}" if size else "_int8" if int8 else ""
    target = _choose_target(format, output, overwrite, suffix, _default_folder(path.resolve()))
    network = at_chosen_scales(load_network(path, pooling, precision), scales)
    if format == "savedmodel":
        unchanged = pooling == "auto" and precision is None and scales is None
        folder = _publish(network, source, unchanged, target, max_pixels, warmup_sizes)
        # An --output elsewhere gets no new configuration files; those that are there already are updated.
        if output is None or (target.resolve().parent / "models.config").exists():
            write_configs(target.resolve().parent)
        return [f"Network          {path}", *published(folder)]
    more = []
    if format == "onnx":
        export_onnx(network, target, half_weights=half_weights)
    elif format == "openvino":
        more = export_openvino(network, target, half_weights, int8)
    else:
        export_litert(network, target, *size)
    written = [f"{file}  ({file.stat().st_size / 1e6:.1f} MB, {network.name})" for file in _files_of(target)]
    return [f"Network          {path}", *more, *written]


def _check_options(format, precision, max_pixels, warmup_sizes, size, half_weights, int8):
    """Raises an InputError if options contradict each other. Returns the limit of pixels, with its default."""
    for name, value, needed in (
        ("max-pixels", max_pixels, ("savedmodel",)),
        ("warmup", warmup_sizes, ("savedmodel",)),
        ("precision", precision, ("savedmodel",)),
        ("size", size, ("litert",)),
        ("half-weights", half_weights or None, ("onnx", "openvino")),
        ("int8", int8 or None, ("openvino",)),
    ):
        if value is not None and format not in needed:
            raise InputError(f"--{name} is for --format {' or '.join(needed)}, not {format}")
    if format == "litert" and size is None:
        raise InputError(
            "--format litert needs --size, such as 1280x720: a LiteRT file takes pictures of one size only"
        )
    if warmup_sizes and not server_files.available():
        raise InputError('--warmup needs tensorflow-serving-api: pip install "unet_deblur_tf[serving]"')
    max_pixels = max_pixels or saved_model.MAX_PIXELS
    for height, width in warmup_sizes or ():
        if height * width > max_pixels:
            raise InputError(f"--warmup {width}x{height} has more pixels than the {max_pixels} of --max-pixels")
    return max_pixels


def _default_folder(path):
    """The folder that exports of a network go to by default.

    Args:
        path: absolute `Path`, as `find_newest` returns it.
    """
    if path.suffix == ".keras" and path.name != "model.keras":
        return MODELS / path.stem  # a file in any folder, such as the package's
    # The `model.keras` of a version lies in NAME/1/assets.extra/.
    return path.parent.parent.parent if path.parent.name == "assets.extra" else path.parent


def _choose_target(format, output, overwrite, suffix, default_folder):
    """The model base path or the file to write. Raises an InputError if it cannot be written."""
    if format == "savedmodel":
        base = Path(output) if output else default_folder
        make_folder(base)
        return base
    ending = ENDINGS[format]
    target = Path(output) if output else default_folder / f"{default_folder.name}{suffix}{ending}"
    if target.suffix != ending:
        raise InputError(f"--output must end in {ending} for --format {format}, not {target.name!r}")
    if target.is_dir():
        raise InputError(f"{target} is a folder: --output takes the file's name")
    for file in _files_of(target):
        if file.exists() and not overwrite:
            raise InputError(f"{file} is there already: --overwrite replaces it, --output names another")
    make_folder(target.parent)
    remove_partial(target.parent)
    return target


def _files_of(target):
    """The files of an export: OpenVINO keeps the weights in one of their own."""
    return [target, target.with_suffix(".bin")] if target.suffix == ENDINGS["openvino"] else [target]


def _publish(network, source, unchanged, base, max_pixels, warmup_sizes):
    """Writes the next version of a SavedModel, with the files of its training run in `assets.extra/`.

    Args:
        network: `keras.Model` to export.
        source: `Path` of the `.keras` file that it was loaded from.
        unchanged: bool, whether pooling, precision and scales are those of the file. If not, the version gets a
            `.keras` file of its own, so that it always contains the network that it runs.
        base, max_pixels, warmup_sizes: see `saved_model.publish`.
    """
    extras = {name: source.with_name(name) for name in RUN_FILES if source.with_name(name).exists()}
    with tempfile.TemporaryDirectory() as folder:
        extras["model.keras"] = source if unchanged else Path(folder) / "model.keras"
        if not unchanged:
            network.save(extras["model.keras"])
        return saved_model.publish(network, base, extras, max_pixels, warmup_sizes)


def published(folder: str | Path) -> list[str]:
    """Lines that say where a version of a SavedModel is, and whether it lacks warm-up requests.

    Args:
        folder: version folder, as `saved_model.publish` returns it.
    """
    folder = Path(folder)
    base = folder.parent
    lines = [f"SavedModel       {folder}/  (for TensorFlow Serving: {base}/ is the model base path)"]
    if not server_files.available() and not (folder / "assets.extra" / server_files.FILE).exists():
        lines.append('                 without warm-up requests, which need pip install "unet_deblur_tf[serving]"')
    return lines
