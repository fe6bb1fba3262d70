"""Converts a network for other runtimes, in a process of its own: see `converted`.

python -m unet_deblur_tf.restoring.runtimes.conversion SOURCE POOLING SCALES DIR

It writes `facts.json` and, for each part that restoring needs, NAME.onnx. See `facts`.
"""

import dataclasses
import json
import sys
from pathlib import Path

from unet_deblur_tf.errors import InputError
from unet_deblur_tf.exporting.onnx_litert import write_onnx
from unet_deblur_tf.models.loading import at_chosen_scales, load_network
from unet_deblur_tf.models.scales import trunk_of
from unet_deblur_tf.restoring.runtimes.facts import PARTS
from unet_deblur_tf.restoring.runtimes.keras_parts import facts_of, part_of
from unet_deblur_tf.utils.scripts import quiet_tensorflow


def convert(source: Path, pooling: str, scales: int | None, folder: Path) -> None:
    """Converts a network.

    Args:
        source: `Path` of the `.keras` file.
        pooling, scales: see `RestoringOptions`.
        folder: `Path` of the folder for the files.

    Raises:
        InputError: if the file cannot be loaded, or the network cannot take the pooling or the number of scales.
    """
    network = at_chosen_scales(load_network(source, pooling, "float32"), scales)
    facts = facts_of(network)
    (folder / "facts.json").write_text(json.dumps(dataclasses.asdict(facts)))
    for name in PARTS if facts.squeezes else PARTS[:1]:
        write_onnx(part_of(trunk_of(network), name), folder / f"{name}.onnx")


if __name__ == "__main__":
    source, pooling, scales, folder = sys.argv[1:]
    quiet_tensorflow()  # sets the user's settings of Keras aside, too
    try:
        convert(Path(source), pooling, json.loads(scales), Path(folder))
    except InputError as error:
        sys.exit(str(error))
