"""Scores a trained network on pairs: PSNR and SSIM of the blurred and of the restored pictures.

{program}                                                   the newest model on synthetic scenes
{program} --model saved_models/unet --data GOPRO_Large/ --report reports/gopro
{program} --data pairs/ --split all                         all pairs of a folder {blur,sharp}/
{program} --data gopro hide realblur_j --data-dir SETS/     several published test sets in one table
{program} --restored OTHERS/ --data pairs/                  pictures that another program restored
"""

from pathlib import Path

from unet_deblur_tf.commands import flags
from unet_deblur_tf.configs import PROTOCOLS
from unet_deblur_tf.utils.scripts import quiet_tensorflow


def add_arguments(parser):
    """Adds the flags of the command."""
    flags.add_model_argument(parser)
    flags.add_data_arguments(parser, several=True)
    parser.add_argument(
        "--split",
        choices=("test", "val", "train", "all"),
        help="default: test; for a published set, the part that published scores refer to",
    )
    parser.add_argument("--limit", type=flags.positive_int, metavar="N", help="score only N pictures, evenly spaced")
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        help="full: full size, SSIM (default). aligned: the same after alignment with the sharp picture (default for "
        "RealBlur). original: 224x224, MS-SSIM, only for comparison with the original student project",
    )
    parser.add_argument(
        "--restored",
        type=Path,
        metavar="DIR",
        help="score the pictures in this folder, which another program restored, instead of a model",
    )
    flags.add_restoring_arguments(parser)
    parser.add_argument("--report", type=Path, help="folder for metrics.json, per_image.csv and comparison.png")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing report")


def main(arguments):
    """Runs the command with parsed flags."""
    quiet_tensorflow()
    from unet_deblur_tf.evaluation.evaluate import evaluate_sets
    from unet_deblur_tf.evaluation.report import table, table_of_sets

    summaries = evaluate_sets(**flags.restoring_options(arguments))
    (first, *others) = summaries.values()
    print(f"\n{table_of_sets(summaries) if others else table(first)}")
    if arguments.report:
        below = "NAME/" if others else ""
        print(f"\nReport  {arguments.report}/{below}: metrics.json, per_image.csv, comparison.png")
