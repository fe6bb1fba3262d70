"""Scores a trained network on pairs: PSNR and SSIM of the blurred input and of the restored picture.

{program}                                                   newest model, scenes made in code
{program} --model saved_models/unet --data GOPRO_Large/ --report reports/gopro
{program} --data pairs/ --split all                         every pair of a folder {blur,sharp}/
"""

from pathlib import Path

from unet_deblur_tf.commands import flags
from unet_deblur_tf.configs import PROTOCOLS
from unet_deblur_tf.utils.scripts import quiet_tensorflow


def add_arguments(parser):
    """Adds the flags of the command."""
    flags.add_model_argument(parser)
    flags.add_data_arguments(parser)
    parser.add_argument("--split", choices=("test", "val", "train", "all"), default="test", help="default: %(default)s")
    parser.add_argument("--limit", type=flags.positive_int, help="score only that many pictures, evenly spaced")
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        default="full",
        help="full: full size, SSIM (default). original: 224x224, MS-SSIM, to compare with the original project only",
    )
    flags.add_restoring_arguments(parser)
    parser.add_argument("--report", type=Path, help="folder for metrics.json, per_image.csv and comparison.png")
    parser.add_argument("--overwrite", action="store_true", help="replace a report that is there")


def main(arguments):
    """Runs the command with parsed flags."""
    quiet_tensorflow()
    from unet_deblur_tf.evaluation.evaluate import evaluate
    from unet_deblur_tf.evaluation.report import table

    summary = evaluate(**flags.restoring_options(arguments))
    print(f"\n{table(summary)}")
    if arguments.report:
        print(f"\nReport  {arguments.report}/: metrics.json, per_image.csv, comparison.png")
