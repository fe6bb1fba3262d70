"""Restores blurry photos and videos.

{program} photo.jpg                            writes restored/photo.jpg
{program} holiday/ --recursive --compare       a folder, with before and after side by side
{program} "*.png" --model saved_models/unet --output sharp/

The results keep format, size, alpha channel, 16 bits, EXIF data and colour profile. A photo
that does not fit in memory is restored in tiles, without seams.
"""

import argparse
import sys

from unet_deblur_tf.commands import flags


def quality(text):
    """Parses an int from 1 to 100 for `argparse`."""
    value = int(text)
    if not 1 <= value <= 100:
        raise argparse.ArgumentTypeError(f"must be 1 to 100, not {text}")
    return value


def add_arguments(parser):
    """Adds the flags of the command."""
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="files, folders or patterns (with * and **)")
    flags.add_model_argument(parser, default="the default network of the package")
    parser.add_argument(
        "--output", default="restored", metavar="DIR", help="folder for the results (default: %(default)s/)"
    )
    parser.add_argument("--recursive", action="store_true", help="include the subfolders of folders")
    parser.add_argument("--overwrite", action="store_true", help="replace existing results")
    parser.add_argument("--compare", action="store_true", help="also write NAME_compare.png, before and after")
    add_photo_arguments(parser)
    flags.add_restoring_arguments(parser)


def add_photo_arguments(parser):
    """Adds the flags that decide how photos are read and written."""
    parser.add_argument(
        "--quality", type=quality, default=95, help="quality of JPEG, WebP and HEIC (default: %(default)s)"
    )
    parser.add_argument("--allow-large", action="store_true", help="accept pictures of more than 89 million pixels")
    parser.add_argument(
        "--allow-damaged", action="store_true", help="restore the readable part of truncated JPEG files"
    )


def main(arguments):
    """Runs the command with parsed flags. Where nothing is to be restored, it imports next to nothing."""
    from unet_deblur_tf.restoring.jobs import find_jobs

    options = flags.restoring_options(arguments)
    finding = {name: options.pop(name) for name in ("inputs", "output", "recursive")}
    jobs = find_jobs(**finding, overwrite=options["overwrite"], compare=options["compare"])
    for source, target in jobs.kept.items():
        print(f"{source}: {target} is there already (--overwrite replaces it)")
    written, failed = _restore(jobs, options) if jobs.targets else ({}, jobs.failed)
    print(f"{len(written)} restored in {arguments.output}/")
    if failed:
        print(f"{len(failed)} could not be restored:", file=sys.stderr)
        for source, reason in failed.items():
            print(f"  {source}: {reason}", file=sys.stderr)
        sys.exit(1)


def _restore(jobs, options):
    """Restores the files. Returns those that were written, and those that failed."""
    from unet_deblur_tf.restoring.deblur import restore_jobs
    from unet_deblur_tf.restoring.options import RestoringOptions
    from unet_deblur_tf.restoring.runtimes import start_quietly

    start_quietly(options["model"], **{field: options[field] for field in RestoringOptions.__dataclass_fields__})
    outcome = restore_jobs(jobs, **options)
    return outcome.written, outcome.failed
