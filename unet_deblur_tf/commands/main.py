"""The entry points: the command `unet-deblur`, and the scripts that do the same in a clone of the repository.

unet-deblur deblur photo.jpg               python deblur.py photo.jpg
unet-deblur train --variant unet           python train.py --variant unet
"""

import argparse
import importlib
import sys
from pathlib import Path

from unet_deblur_tf.utils import scripts

# Arguments that are paths or may be, besides those of type `Path`.
PATHS = {"cache_dir", "data", "data_dir", "inputs", "lists", "model", "output", "start_from"}
COMMANDS = ("deblur", "deblur-many", "train", "evaluate", "export", "explain", "app")


def main():
    """Runs `unet-deblur COMMAND ...`."""
    import shtab

    from unet_deblur_tf import __version__

    parser = argparse.ArgumentParser("unet-deblur", description="Image deblurring with U-Nets in Keras and TensorFlow.")
    parser.add_argument("--version", action="version", version=f"unet_deblur_tf {__version__}")
    shtab.add_argument_to(parser, help="print a completion script for the shell")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = _module(name)
        text = _description(module, f"unet-deblur {name}")
        subparser = commands.add_parser(
            name, help=text.partition("\n")[0], description=text, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        module.add_arguments(subparser)
        complete_paths(subparser)
        subparser.set_defaults(command_to_run=module.main)
    arguments = parser.parse_args()
    command = vars(arguments).pop("command_to_run")
    del arguments.print_completion
    scripts.run(command, arguments)


def complete_paths(parser):
    """Tells the shell's completion which arguments are paths, those of subcommands included."""
    import shtab

    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                complete_paths(one)
        elif action.type is Path or action.dest in PATHS:
            action.complete = shtab.FILE


def run_script(name):
    """Runs a command as a script, `python NAME.py ...`.

    Args:
        name: str, one of `COMMANDS`.
    """
    module = _module(name)
    text = _description(module, f"python {Path(sys.argv[0]).name}")
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    module.add_arguments(parser)
    scripts.run(module.main, parser.parse_args())


def _module(name):
    return importlib.import_module(f"unet_deblur_tf.commands.{name.replace('-', '_')}")


def _description(module, program):
    return module.__doc__.replace("{program}", program)
