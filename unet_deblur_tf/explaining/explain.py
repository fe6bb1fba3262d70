"""What the command `explain` does: writes charts and tables that explain a network on a picture, or a variant."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from unet_deblur_tf.data.photos import read_photo, to_8_bit
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.explaining import cost, keras_flops
from unet_deblur_tf.explaining.gradcam import SCORES, Box, check_box, gate_chart, gates, heatmaps, sheet
from unet_deblur_tf.models.finding import find_newest, keras_file
from unet_deblur_tf.models.loading import load_network
from unet_deblur_tf.models.transforms import has_naf_blocks, receptive_radius, squeeze_layers
from unet_deblur_tf.models.unet import build
from unet_deblur_tf.utils.files import make_folder, write_by_rename

COUNTED = 30_000**2  # pixels up to which TensorFlow counts FLOPs; for four times as many it ends the process


def explain_picture(
    image: Path,
    model: str | Path | None,
    sharp: Path | None,
    score: str | None,
    box: Box | None,
    largest: int,
    output: Path,
    raw: Path | None,
    overwrite: bool,
) -> Iterator[str]:
    """Explains a network on one picture.

    Writes a sheet of heat maps (Grad-CAM), a chart of the gates if the network has squeeze-and-excitation, and on
    request the heat maps as arrays.

    Args:
        image: `Path` of a blurred picture.
        model: the network, see `finding.find_newest`.
        sharp: `Path` of the sharp picture, or None.
        score: key of `gradcam.SCORES`; None for "error" with a sharp picture, else "correction".
        box: (x, y, width, height) in pixels, the part of the picture where the score is taken; None for all of it.
        largest: int, pixels; a picture whose longer side is above it is reduced.
        output: `Path` of the sheet, PNG by default. The chart goes to `<output>_gates.png`.
        raw: `Path` of the arrays, ending in .npz, or None.
        overwrite: bool, whether to replace existing files.

    Yields:
        str, lines that say what was written.

    Raises:
        InputError: if a file cannot be read or written, or exists already, or the options do not fit the picture.
    """
    for path in filter(None, (output, raw)):
        if not path.name:
            raise InputError(f"--output and --raw take the name of a file, not {str(path)!r}")
    output = output if output.suffix else output.with_suffix(".png")
    chart = output.with_name(f"{output.stem}_gates.png")
    raw = raw and raw.with_suffix(".npz")
    network = load_network(keras_file(find_newest(model)))
    has_gates = squeeze_layers(network) and not has_naf_blocks(network)
    targets = [output, *([chart] if has_gates else []), *([raw] if raw else [])]
    _refuse_to_replace(targets, overwrite)
    for target in targets:
        if any(read and target.exists() and target.samefile(read) for read in (image, sharp)):
            raise InputError(f"{target} is what is to be explained: choose another --output")
        make_folder(target.parent)

    blurred, size = _picture(image, largest)
    truth = _picture(sharp, largest)[0] if sharp else None
    if truth is not None and truth.shape != blurred.shape:
        raise InputError(f"{image} and {sharp} differ in size")
    score = score or ("error" if sharp else "correction")
    cams = _heatmaps(network, blurred, score, truth, box, size)
    _save(sheet(blurred, cams, _title(network, cams, score, box)), output)
    yield f"Heat maps  {output}"
    if size != blurred.shape[:2]:
        yield f"           of the picture reduced to {blurred.shape[1]}x{blurred.shape[0]} (--largest)"

    gates_by_layer = gates(network, blurred)
    if gates_by_layer:
        _save(gate_chart(gates_by_layer, f"{network.name}: squeeze-and-excitation on {image.name}"), chart)
        yield f"Gates      {chart}"
    if raw:
        with write_by_rename(raw) as partial:
            np.savez_compressed(partial, **cams.maps, restored=cams.restored)
        yield f"Arrays     {raw}"


def _heatmaps(network, blurred, score, truth, box, size):
    """`gradcam.heatmaps`, for a box in pixels of the picture before it was reduced."""
    reduced_box = box and _reduced_box(box, size, blurred.shape[:2])
    try:
        return heatmaps(network, blurred, score, truth, reduced_box)
    except ValueError as error:
        raise InputError(str(error)) from error


def _title(network, cams, score, box):
    where = "whole picture" if box is None else f"box {box[2]}x{box[3]} at {box[0]},{box[1]}"
    return f"{network.name}: Grad-CAM of {SCORES[score]} ({where}), here {cams.score:.4f}"


def explain_cost(
    variant: str, size: tuple[int, int], layers: bool, output: Path | None, overwrite: bool
) -> Iterator[str]:
    """Prints what the layers of a variant cost, or compares all variants, and on request writes a chart and a CSV file.

    Args:
        variant: key of `configs.VARIANTS`, or "all" for a comparison.
        size: (height, width) of the picture.
        layers: bool, whether to list every Keras layer, not only the ten layers of the figure.
        output: `Path` of the folder for the chart and the CSV file, or None.
        overwrite: bool, whether to replace existing files.

    Yields:
        str, the lines of the tables.

    Raises:
        InputError: if a file exists already or cannot be written.
    """
    shown_size = f"{size[1]}x{size[0]}"
    name = f"cost_{variant}_{shown_size}"
    files = [output / f"{name}{suffix}" for suffix in (".png", ".csv")] if output else []
    _refuse_to_replace(files, overwrite)
    if variant == "all":
        totals = cost.comparison(*size)
        yield cost.comparison_table(totals)
        rows = [total._replace(layer=variant_name) for variant_name, (total, _) in totals.items()]
        chart = cost.comparison_chart(totals, f"The variants, {shown_size}")
    else:
        network = build(variant)
        costs = cost.layer_costs(network, *size)
        rows = costs if layers else cost.figure_costs(costs)
        yield cost.table(rows)
        yield from _notes(network, size, cost.total(costs).flops)
        chart = cost.layer_chart(rows, f"{variant}, {shown_size}")
    if output:
        make_folder(output)
        cost.write_csv(rows, files[1])
        _save(chart, files[0])
        yield f"\nChart {files[0]}, table {files[1]}"


def _notes(network, size, flops):
    """Lines about the count of keras-flops and the receptive field."""
    if size[0] * size[1] <= COUNTED:
        counted = keras_flops.count(network, *size)
        by = f"{flops / counted - 1:+.2%}"
        yield f"\nkeras-flops counts {counted / 1e9:.3f} GFLOPs, without resizing: the total here differs by {by}."
    radius = receptive_radius(network)
    beyond = ", and through squeeze-and-excitation on means over the picture" if squeeze_layers(network) else ""
    yield f"An output pixel depends on at most {radius} pixels around it{beyond}."


def _picture(path, largest):
    """Reads a picture, and reduces it if its longer side is above `largest` pixels.

    Returns:
        (float32 `(height, width, 3)` in 0..1, (height, width) before the reduction).
    """
    pixels = to_8_bit(read_photo(path).pixels)
    height, width = pixels.shape[:2]
    factor = min(1.0, largest / max(height, width))
    if factor < 1:
        size = max(1, round(width * factor)), max(1, round(height * factor))
        pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))
    return pixels.astype(np.float32) / 255, (height, width)


def _reduced_box(box, size, reduced_size):
    """Converts a box to pixels of the reduced picture; at least one pixel remains.

    Args:
        box: (x, y, width, height) in pixels of the full picture.
        size, reduced_size: (height, width).
    """
    check_box(box, size)

    def reduce(start, extent, full, reduced):
        first = min(round(start * reduced / full), reduced - 1)
        return first, max(1, min(round(extent * reduced / full), reduced - first))

    left, across = reduce(box[0], box[2], size[1], reduced_size[1])
    top, down = reduce(box[1], box[3], size[0], reduced_size[0])
    return left, top, across, down


def _refuse_to_replace(paths, overwrite):
    for path in paths:
        if Path(path).exists() and not overwrite:
            raise InputError(f"{path} is there already: --overwrite replaces it")


def _save(figure, path):
    try:
        with write_by_rename(path) as partial:
            figure.savefig(partial, dpi=100)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be written: {error}") from error
