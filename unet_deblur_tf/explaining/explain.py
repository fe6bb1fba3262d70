"""What `explain.py` does: from a picture or a variant to charts and tables on disk."""

from pathlib import Path

import numpy as np
from PIL import Image

from unet_deblur_tf.data.photos import read_photo, to_8_bit
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.explaining import cost, keras_flops
from unet_deblur_tf.explaining.gradcam import SCORES, check_box, gate_chart, gates, heatmaps, sheet
from unet_deblur_tf.models.loading import find_newest, keras_file, load_network
from unet_deblur_tf.models.transforms import receptive_radius, scale_of, squeeze_layers
from unet_deblur_tf.models.unet import build
from unet_deblur_tf.utils.files import make_folder, write_by_rename


def explain_picture(image, model, sharp, score, box, largest, output, raw, overwrite):
    """Writes the sheet of heat maps, the chart of gates where there are any, and the maps as arrays on request.

    The arguments are the flags of `explain.py heatmaps`.

    Yields:
        str, lines about what was written.

    Raises:
        InputError: if a file cannot be used.
    """
    output = output if output.suffix else output.with_suffix(".png")
    chart = output.with_name(f"{output.stem}_gates.png")
    raw = raw and raw.with_suffix(".npz")
    network = load_network(keras_file(find_newest(model)))
    targets = [output, *([chart] if squeeze_layers(network) else []), *([raw] if raw else [])]
    _refuse_to_replace(targets, overwrite)
    for target in targets:
        make_folder(target.parent)
    blurred, size = _picture(image, largest)
    truth = _picture(sharp, largest)[0] if sharp else None
    if truth is not None and truth.shape != blurred.shape:
        raise InputError(f"{image} and {sharp} differ in size")
    score = score or ("error" if sharp else "correction")
    reduced = box and _reduced_box(box, size, blurred.shape[:2])
    try:
        found = heatmaps(network, blurred, score, truth, reduced)
    except ValueError as error:
        raise InputError(str(error)) from error
    where = "whole picture" if box is None else f"box {box[2]}x{box[3]} at {box[0]},{box[1]}"
    title = f"{network.name}: Grad-CAM of {SCORES[score]} ({where}), here {found.score:.4f}"
    _save(sheet(blurred, found, title), output)
    yield f"Heat maps  {output}"
    if size != blurred.shape[:2]:
        yield f"           of the picture reduced to {blurred.shape[1]}x{blurred.shape[0]} (--largest)"
    levels = gates(network, blurred)
    if levels:
        _save(gate_chart(levels, f"{network.name}: squeeze-and-excitation on {image.name}"), chart)
        yield f"Gates      {chart}"
    if raw:
        with write_by_rename(raw) as partial:
            np.savez_compressed(partial, **found.maps, restored=found.restored)
        yield f"Arrays     {raw}"


def explain_cost(variant, size, layers, output, overwrite):
    """Tables of cost, and a chart and a CSV of them on request.

    The arguments are the flags of `explain.py cost`.

    Yields:
        str, lines of tables.

    Raises:
        InputError: if a file cannot be written.
    """
    shown = f"{size[1]}x{size[0]}"
    name = f"cost_{variant}_{shown}"
    files = [output / f"{name}{suffix}" for suffix in (".png", ".csv")] if output else []
    _refuse_to_replace(files, overwrite)
    if variant == "all":
        rows = cost.comparison(*size)
        yield cost.comparison_table(rows)
        costs = [each._replace(layer=name) for name, (each, _) in rows.items()]
        figure = cost.comparison_chart(rows, f"The variants, {shown}")
    else:
        network = build(variant)
        costs = cost.layer_costs(network, *size)
        rows = costs if layers else cost.figure_costs(costs)
        counted, ours = keras_flops.count(network, *size), cost.total(costs).flops
        yield cost.table(rows)
        yield f"\nkeras-flops counts {counted / 1e9:.3f} GFLOPs, {ours / counted - 1:+.2%} here: with resizing."
        radius = receptive_radius(scale_of(network))
        beyond = ", and through squeeze-and-excitation on means over the picture" if squeeze_layers(network) else ""
        yield f"An output pixel depends on at most {radius} pixels around it{beyond}."
        costs, figure = rows, cost.layer_chart(rows, f"{variant}, {shown}")
    if output:
        make_folder(output)
        cost.write_csv(costs, files[1])
        _save(figure, files[0])
        yield f"\nChart {files[0]}, table {files[1]}"


def _picture(path, largest):
    """A picture as float32 in 0..1, reduced where its longer side is above `largest`, and its size before."""
    pixels = to_8_bit(read_photo(path).pixels)
    height, width = pixels.shape[:2]
    factor = min(1.0, largest / max(height, width))
    if factor < 1:
        size = max(1, round(width * factor)), max(1, round(height * factor))
        pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))
    return pixels.astype(np.float32) / 255, (height, width)


def _reduced_box(box, size, reduced_size):
    """Where a box of a picture is in the reduced picture; at least a pixel of it."""
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
