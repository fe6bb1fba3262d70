"""Opens a web page that restores photos.

{program}                                      on this machine alone
{program} --port 8000 --no-browser
{program} --host 0.0.0.0 --max-megapixels 12   also for other machines

The photos stay on the machine that runs the command, and are deleted after an hour. The command
needs the extra `app`: pip install "unet_deblur_tf[app]"
"""

import argparse
import dataclasses
import threading

from unet_deblur_tf.app.limits import Limits
from unet_deblur_tf.commands import flags


def port(text):
    """Parses an int from 0 to 65535 for `argparse`."""
    value = int(text)
    if not 0 <= value < 2**16:
        raise argparse.ArgumentTypeError(f"must be 0 to 65535, not {text}")
    return value


def add_arguments(parser):
    """Adds the flags of the command."""
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen on; 0.0.0.0 for every network that the machine is part of (default: %(default)s, which "
        "only this machine reaches)",
    )
    parser.add_argument(
        "--port", type=port, metavar="N", help="0 for any free one (default: the first free one from 7860 on)"
    )
    parser.add_argument("--no-browser", dest="browser", action="store_false", help="do not open a browser")
    parser.add_argument(
        "--max-megapixels",
        dest="megapixels",
        type=flags.positive_float,
        metavar="MP",
        help="largest photo, in millions of pixels (default: %(default)g)",
    )
    parser.add_argument(
        "--max-megabytes",
        dest="megabytes",
        type=flags.positive_int,
        metavar="MB",
        help="largest file, in millions of bytes (default: %(default)s)",
    )
    parser.add_argument(
        "--max-files",
        dest="files",
        type=flags.positive_int,
        metavar="N",
        help="photos that a visitor can restore together (default: %(default)s)",
    )
    parser.add_argument(
        "--queue-size",
        dest="waiting",
        type=flags.positive_int,
        metavar="N",
        help="visitors that can wait; one is served at a time (default: %(default)s)",
    )
    parser.add_argument(
        "--keep-minutes",
        dest="minutes",
        type=flags.positive_int,
        metavar="N",
        help="how long photos and results are kept (default: %(default)s)",
    )
    parser.set_defaults(**dataclasses.asdict(Limits()))


def main(arguments):
    """Runs the command with parsed flags."""
    from unet_deblur_tf.app.server import Server

    options = vars(arguments)
    limits = Limits(**{field.name: options[field.name] for field in dataclasses.fields(Limits)})
    server = Server(limits)
    try:
        address = server.start(options["host"], options["port"], options["browser"])
        print(f"The page is at {address} (Ctrl-C ends it)", flush=True)
        threading.Event().wait()
    finally:
        server.close()
