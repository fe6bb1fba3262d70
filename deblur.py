"""Restores blurry photos and videos with a trained network.

python deblur.py photo.jpg                            to restored/photo.jpg
python deblur.py holiday/ --recursive --compare       a folder, with pictures side by side
python deblur.py "*.png" --model saved_models/unet --output sharp/

The results keep format, size, alpha, 16 bit, EXIF data and colour profile. A photo that
does not fit in memory is restored in tiles that leave no seams.
"""

import argparse
import sys

from unet_deblur_tf import cli


def quality(text):
    value = int(text)
    if not 1 <= value <= 100:
        raise argparse.ArgumentTypeError(f"must be 1 to 100, not {text}")
    return value


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="files, folders or patterns")
    cli.add_model_argument(parser)
    parser.add_argument("--output", default="restored", metavar="DIR", help="default: %(default)s/")
    parser.add_argument("--recursive", action="store_true", help="folders with all that is below them")
    parser.add_argument("--overwrite", action="store_true", help="replace results that are there")
    parser.add_argument("--compare", action="store_true", help="also write NAME_compare.png, both side by side")
    parser.add_argument("--quality", type=quality, default=95, help="of JPEG, WebP and HEIC (default: %(default)s)")
    parser.add_argument("--allow-large", action="store_true", help="take pictures of more than 89 million pixels")
    cli.add_restoring_arguments(parser)
    return parser.parse_args()


def main(arguments):
    cli.quiet_tensorflow()
    from unet_deblur_tf.deblurring import deblur

    outcome = deblur(**cli.restoring_options(arguments))
    for source, target in outcome.kept.items():
        print(f"{source}: {target} is there already (--overwrite replaces it)")
    print(f"{len(outcome.written)} restored in {arguments.output}/")
    if outcome.failed:
        print(f"{len(outcome.failed)} could not be restored:", file=sys.stderr)
        for source, reason in outcome.failed.items():
            print(f"  {source}: {reason}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    cli.run(main, parse_arguments())
