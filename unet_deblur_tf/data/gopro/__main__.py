"""Runs `tfds build` for GoPro, with the options of that command.

python -m unet_deblur_tf.data.gopro --data_dir DIR --manual_dir FOLDER_OF_THE_ZIP

`tfds` 4.9.10 starts only with apache-beam and mlcroissant, although it does not list them as dependencies and `build`
does not need them. Beam would also install an older protobuf and an older Pillow. So this command replaces both
packages by stand-ins, if they are missing.
"""

import importlib.util
import sys
import types
from pathlib import Path

from unet_deblur_tf.utils import scripts

NOT_NEEDED = ("apache_beam", "mlcroissant")


class StandIn(types.ModuleType):
    """A module in which every name exists and does nothing."""

    def __getattr__(self, name):
        return object


def main(arguments: list[str]) -> None:
    """Runs `tfds build` with the command-line arguments."""
    scripts.quiet_tensorflow()
    for name in NOT_NEEDED:
        if importlib.util.find_spec(name) is None:
            sys.modules[name] = StandIn(name)
    from tensorflow_datasets.scripts.cli.main import launch_cli

    sys.argv = ["tfds", "build", str(Path(__file__).parent), *arguments]
    launch_cli()


if __name__ == "__main__":
    scripts.run(main, sys.argv[1:])
