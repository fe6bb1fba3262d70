"""Writes the folder of models that the serving tests ask a server for.

python tests/serving/models.py FOLDER
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

LIMIT = 20_000  # pixels
WARMUP = [(48, 64)]


def write(folder):
    """`small`, versions 1 and 2, of different weights, with squeeze-and-excitation; `plain`, version 1."""
    from helpers import SMALL_WIDTHS, randomise

    from unet_deblur_tf.exporting.saved_model import publish
    from unet_deblur_tf.exporting.server_files import write_configs
    from unet_deblur_tf.models.unet import build

    folder = pathlib.Path(folder)
    folder.mkdir(exist_ok=True)
    for name, variant, widths in (
        ("small", "concat_se", SMALL_WIDTHS),
        ("small", "concat_se", (8, 8, 8, 8, 8)),
        ("plain", "unet", SMALL_WIDTHS),
    ):
        network = randomise(build(variant, widths=widths, name=variant))
        network.save(folder / "model.keras")
        publish(network, folder / name, {"model.keras": folder / "model.keras"}, LIMIT, WARMUP)
        (folder / "model.keras").unlink()
    write_configs(folder)
    # Version 1 is asked for by number besides the newest, and there are requests of several pictures.
    for name, old, new in (
        ("models.config", 'name: "small"\n', 'name: "small"\n    model_version_policy { all { } }\n'),
        ("batching.config", "max_batch_size { value: 1 }", "max_batch_size { value: 4 }"),
    ):
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))


if __name__ == "__main__":
    write(sys.argv[1])
