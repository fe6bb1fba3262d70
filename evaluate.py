"""Scores a trained network on pairs: PSNR and SSIM of the blurred input and of the restored picture.

python evaluate.py                                                   newest model, scenes made in code
python evaluate.py --model saved_models/unet --data GOPRO_Large/ --report reports/gopro
python evaluate.py --data pairs/ --split all                         every pair of a folder {blur,sharp}/
"""

import argparse
from pathlib import Path

from unet_deblur_tf import cli


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_model_argument(parser)
    cli.add_data_arguments(parser)
    parser.add_argument("--split", choices=("test", "val", "train", "all"), default="test", help="default: %(default)s")
    parser.add_argument("--limit", type=cli.positive_int, help="score only that many pictures, evenly spaced")
    parser.add_argument(
        "--protocol",
        choices=("full", "seed"),
        default="full",
        help="full: full size, SSIM (default). seed: 224x224, MS-SSIM, to compare with the seed project only",
    )
    cli.add_restoring_arguments(parser)
    parser.add_argument("--report", type=Path, help="folder for metrics.json, per_image.csv and comparison.png")
    parser.add_argument("--overwrite", action="store_true", help="replace a report that is there")
    return parser.parse_args()


def main(arguments):
    cli.quiet_tensorflow()
    from unet_deblur_tf import evaluation

    summary = evaluation.evaluate(**cli.restoring_options(arguments))
    print(f"\n{evaluation.table(summary)}")
    if arguments.report:
        print(f"\nReport  {arguments.report}/: metrics.json, per_image.csv, comparison.png")


if __name__ == "__main__":
    cli.run(main, parse_arguments())
