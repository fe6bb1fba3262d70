"""Restores any number of photos and videos, on one machine or on many, with Apache Beam.

{program} photos/ --recursive --output sharp/
{program} "gs://bucket/2024/**.jpg" --output gs://bucket/sharp --runner DataflowRunner --beam project=P region=R
{program} --list paths.txt --output sharp/

The results are those of `deblur`. A file that fails is named in DIR/failed.jsonl. However the
command ends, the same command finishes the rest. It needs the extra `beam`:
pip install "unet_deblur_tf[beam]"
"""

import importlib.util
import logging
import sys

from unet_deblur_tf.commands import flags
from unet_deblur_tf.commands.deblur import add_photo_arguments
from unet_deblur_tf.errors import InputError


def add_arguments(parser):
    """Adds the flags of the command."""
    parser.add_argument(
        "inputs",
        nargs="*",
        metavar="INPUT",
        help="files, folders or patterns (with * and **), local or of a file system that Beam knows, such as gs://",
    )
    parser.add_argument(
        "--list",
        dest="lists",
        action="append",
        default=[],
        metavar="FILE",
        help="a text file with further inputs, one per line; can be repeated",
    )
    flags.add_model_argument(parser, default="the default network of the package")
    parser.add_argument(
        "--output",
        default="restored",
        metavar="DIR",
        help="folder for the results; one command at a time writes to it (default: %(default)s/)",
    )
    parser.add_argument("--recursive", action="store_true", help="include the subfolders of folders")
    add_photo_arguments(parser)
    parser.add_argument(
        "--runner", default="DirectRunner", metavar="NAME", help="the runner of Beam (default: %(default)s)"
    )
    parser.add_argument(
        "--workers",
        type=flags.positive_int,
        default=1,
        metavar="N",
        help="processes on each machine, which share --memory; the DirectRunner starts them (default: %(default)s)",
    )
    parser.add_argument(
        "--beam",
        dest="beam_flags",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="further options of Beam and its runner, without the two dashes, such as project=P",
    )
    flags.add_restoring_arguments(parser)


def main(arguments):
    """Runs the command with parsed flags."""
    options = flags.restoring_options(arguments)
    if not options["inputs"] and not options["lists"]:
        raise InputError("No INPUT and no --list: one of them has to say what is to be restored")
    if importlib.util.find_spec("apache_beam") is None:
        raise InputError('deblur-many needs Apache Beam: pip install "unet_deblur_tf[beam]"')
    logging.disable(logging.WARNING)  # Beam warns at its import of what it does not find, and is not asked for
    from unet_deblur_tf.restoring.many.pipeline import FAILURES, deblur_many
    from unet_deblur_tf.restoring.many.running import RunFailed

    logging.disable(logging.NOTSET)
    try:
        counts = deblur_many(**options)
    except RunFailed as error:
        sys.exit(f"deblur-many: error: {error}. Give the same command again: it finishes the rest")
    rate = (counts.restored + counts.failed) / counts.seconds
    print(
        f"{counts.restored} restored in {arguments.output}/, {counts.kept} were there already, {counts.failed} failed"
        f"{f' ({FAILURES} there says why)' if counts.failed else ''}: {rate:.2f} files a second"
    )
    sys.exit(1 if counts.failed else 0)
