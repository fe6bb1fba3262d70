"""Shows where a network looks in a picture, and what its layers cost.

{program} heatmaps photo.jpg                        writes Grad-CAM of the ten layers to heatmaps.png
{program} heatmaps blurred.png --sharp sharp.png --score error --box 300,100,64,64
{program} cost --variant concat_se                  parameters, MACs, FLOPs and memory of each layer
{program} cost --variant all --output reports/cost  compares the variants
"""

import argparse
from pathlib import Path

from unet_deblur_tf.commands import flags
from unet_deblur_tf.configs import VARIANTS
from unet_deblur_tf.utils.scripts import quiet_tensorflow


def box(text):
    """Parses a box X,Y,WIDTH,HEIGHT in pixels for `argparse`."""
    parts = text.split(",")
    if len(parts) != 4 or not all(part.strip().isdigit() for part in parts):
        raise argparse.ArgumentTypeError(f"must be four whole numbers, separated by commas, not {text!r}")
    return tuple(map(int, parts))


def add_arguments(parser):
    """Adds the flags of the command."""
    commands = parser.add_subparsers(dest="command", required=True)
    maps = commands.add_parser("heatmaps", help="Grad-CAM of the ten layers, and the gates of squeeze-and-excitation")
    maps.add_argument("image", type=Path, help="a blurred picture")
    flags.add_model_argument(maps)
    maps.add_argument("--sharp", type=Path, help="the same picture, sharp, for --score error")
    maps.add_argument(
        "--score",
        choices=("correction", "output", "error"),
        help="what the maps explain (default: error with --sharp, else correction)",
    )
    maps.add_argument("--box", type=box, metavar="X,Y,W,H", help="part of the picture to explain, in pixels")
    maps.add_argument(
        "--largest",
        type=flags.positive_int,
        default=640,
        metavar="N",
        help="reduce pictures whose longer side is above N pixels (default: %(default)s)",
    )
    maps.add_argument(
        "--output", type=Path, default=Path("heatmaps.png"), help="the sheet of heat maps (default: %(default)s)"
    )
    maps.add_argument("--raw", type=Path, metavar="FILE.npz", help="also write the heat maps as arrays")
    costs = commands.add_parser("cost", help="parameters, MACs, FLOPs and memory of each layer")
    costs.add_argument("--variant", choices=(*VARIANTS, "all"), default="unet", help="default: %(default)s")
    costs.add_argument("--size", type=flags.size, default=(224, 224), metavar="WxH", help="default: 224x224")
    costs.add_argument("--layers", action="store_true", help="list every Keras layer, not only the ten of the figure")
    costs.add_argument("--output", type=Path, metavar="DIR", help="folder for a chart and a CSV file")
    for command in (maps, costs):
        command.add_argument("--overwrite", action="store_true", help="replace existing files")


def main(arguments):
    """Runs the command with parsed flags."""
    quiet_tensorflow()
    from unet_deblur_tf.explaining import explain

    options = vars(arguments)
    command = {"heatmaps": explain.explain_picture, "cost": explain.explain_cost}[options.pop("command")]
    for line in command(**options):
        print(line)
