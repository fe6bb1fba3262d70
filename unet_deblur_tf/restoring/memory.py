"""How much memory restoring takes per pixel of the picture."""

from typing import TYPE_CHECKING

from unet_deblur_tf.models.scales import trunk_of

if TYPE_CHECKING:
    import keras

    from unet_deblur_tf.models.loading import ForeignSavedModel

# Peak bytes per pixel of the picture while a network restores it on a CPU, in float32 and in a mixed precision, beyond
# what the process used before. These are the measurements of `python benchmarks/memory.py` plus a tenth. Only
# `concat_reduce_se` has the figures of `concat_reduce`, since it took as much after several pictures.
RESTORING_BYTES = {
    "unet": (1080, 630),
    "concat": (1030, 760),
    "concat_se": (1270, 700),
    "concat_se, local": (6820, 3540),
    "concat_reduce": (4870, 4950),
    "concat_reduce_se": (4870, 4950),
    "concat_reduce_se, local": (5370, 4710),
    "multiscale": (890, 590),
    "naf": (1440, 830),
    "lite": (350, 270),
}


def restoring_bytes_per_pixel(network: "keras.Model | ForeignSavedModel") -> int:
    """Looks up the memory that restoring takes, by the network's name, pooling and precision.

    Args:
        network: `keras.Model`, or anything with a `name` and `layers`.

    Returns:
        Bytes per pixel of the picture. For an unknown network, the largest number of all.
    """
    layers = trunk_of(network).layers
    local = any(getattr(layer, "window", None) for layer in layers)
    measured = RESTORING_BYTES.get(network.name + (", local" if local else ""))
    if measured is None:
        return max(max(row) for row in RESTORING_BYTES.values())
    return measured[any("16" in layer.compute_dtype for layer in layers)]
