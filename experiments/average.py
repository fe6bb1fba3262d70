"""Averages the weights of networks of the same layers, such as those of two rounds of training, into a new file.

python experiments/average.py three/lite/model.keras four/lite/model.keras --output lite.keras
"""

import argparse
from pathlib import Path

from unet_deblur_tf.utils import scripts


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+", help=".keras files, or folders that train.py wrote")
    parser.add_argument("--output", type=Path, required=True, help="a .keras file that is not there yet")
    return parser.parse_args()


def main(arguments):
    scripts.quiet_tensorflow()
    import numpy as np

    from unet_deblur_tf.errors import InputError
    from unet_deblur_tf.models.finding import find_model
    from unet_deblur_tf.models.loading import load_network
    from unet_deblur_tf.models.transforms import weight_signature
    from unet_deblur_tf.utils.files import write_by_rename

    if arguments.output.suffix != ".keras" or arguments.output.exists():
        raise InputError(f"--output takes a .keras file that is not there yet, not {arguments.output}")
    networks = [load_network(find_model(model)) for model in arguments.models]
    for model, network in zip(arguments.models, networks):
        if weight_signature(network) != weight_signature(networks[0]):
            raise InputError(f"{model} has other layers than {arguments.models[0]}")
    weights = [network.get_weights() for network in networks]
    networks[0].set_weights([np.mean(several, axis=0) for several in zip(*weights)])
    with write_by_rename(arguments.output) as partial:
        networks[0].save(partial)


if __name__ == "__main__":
    scripts.run(main, parse_arguments())
