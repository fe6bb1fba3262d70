"""Shows where a network looks, and where its cost sits.

{program} heatmaps photo.jpg                        Grad-CAM of the ten layers, to heatmaps.png
{program} heatmaps blurred.png --sharp sharp.png --score error --box 300,100,64,64
{program} cost --variant concat_se                  parameters, MACs, FLOPs and memory of each layer
{program} cost --variant all --output reports/cost  the variants compared
"""

import argparse
from pathlib import Path

from unet_deblur_tf.commands import flags
from unet_deblur_tf.configs import VARIANTS
from unet_deblur_tf.utils.scripts import quiet_tensorflow


def box(text):
    parts = text.split(",")
    if len(parts) != 4 or not all(part.strip().isdigit() for part in parts):
        raise argparse.ArgumentTypeError(f"must be four whole numbers with commas between, not {text!r}")
    return tuple(map(int, parts))


def add_arguments(parser):
    """Adds the flags of the command."""
    commands = parser.add_subparsers(dest="command", required=True)
    maps = commands.add_parser("heatmaps", help="Grad-CAM of the ten layers, and squeeze-and-excitation's gates")
    maps.add_argument("image", type=Path, help="a blurred picture")
    flags.add_model_argument(maps)
    maps.add_argument("--sharp", type=Path, help="its sharp twin, for --score error")
    maps.add_argument(
        "--score",
        choices=("correction", "output", "error"),
        help="what the maps explain (default: error with --sharp, else correction)",
    )
    maps.add_argument("--box", type=box, metavar="X,Y,W,H", help="where the score is taken, in pixels")
    maps.add_argument("--largest", type=flags.positive_int, default=640, help="reduce pictures above that many pixels")
    maps.add_argument("--output", type=Path, default=Path("heatmaps.png"), help="default: %(default)s")
    maps.add_argument("--raw", type=Path, metavar="FILE.npz", help="also write the maps as arrays")
    costs = commands.add_parser("cost", help="parameters, MACs, FLOPs and memory of each layer")
    costs.add_argument("--variant", choices=(*VARIANTS, "all"), default="unet", help="default: %(default)s")
    costs.add_argument("--size", type=flags.size, default=(224, 224), metavar="WxH", help="default: 224x224")
    costs.add_argument("--layers", action="store_true", help="every Keras layer, not only the ten of the figure")
    costs.add_argument("--output", type=Path, metavar="DIR", help="also write a chart and a CSV there")
    for command in (maps, costs):
        command.add_argument("--overwrite", action="store_true", help="replace files that are there")


def main(arguments):
    """Runs the command with parsed flags."""
    quiet_tensorflow()
    from unet_deblur_tf.explaining import explain

    options = vars(arguments)
    command = {"heatmaps": explain.explain_picture, "cost": explain.explain_cost}[options.pop("command")]
    for line in command(**options):
        print(line)
