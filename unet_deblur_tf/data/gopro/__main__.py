"""`tfds build` for GoPro, with the options of that command.

python -m unet_deblur_tf.data.gopro --data_dir DIR --manual_dir FOLDER_OF_THE_ZIP

`tfds` 4.9.10 starts only where apache-beam and mlcroissant are installed, which commands
other than `build` need; it does not ask for them, and Beam brings an older protobuf and
an older Pillow. Stand-ins for the two are enough to build this set.
"""

import importlib.util
import sys
import types
from pathlib import Path

from unet_deblur_tf.utils import scripts

NOT_NEEDED = ("apache_beam", "mlcroissant")


class StandIn(types.ModuleType):
    """A module all of whose names are there, and do nothing."""

    def __getattr__(self, name):
        return object


def main(arguments):
    scripts.quiet_tensorflow()
    for name in NOT_NEEDED:
        if importlib.util.find_spec(name) is None:
            sys.modules[name] = StandIn(name)
    from tensorflow_datasets.scripts.cli.main import launch_cli

    sys.argv = ["tfds", "build", str(Path(__file__).parent), *arguments]
    launch_cli()


if __name__ == "__main__":
    scripts.run(main, sys.argv[1:])
