"""How much memory a network needs per pixel of the picture."""

# Peak bytes per pixel of the picture while a network restores it on a CPU, in float32 and in a mixed precision,
# beyond what the process has before: `python benchmarks/memory.py` measures them; a tenth is added here,
# and `concat_reduce_se` has what `concat_reduce` has, since it was seen to take as much after several pictures.
RESTORING_BYTES = {
    "unet": (890, 480),
    "concat": (930, 760),
    "concat_se": (1120, 700),
    "concat_se, local": (6810, 3540),
    "concat_reduce": (4870, 2940),
    "concat_reduce_se": (4870, 2940),
    "concat_reduce_se, local": (5120, 4440),
    "lite": (250, 210),
}


def restoring_bytes_per_pixel(network):
    """What restoring takes per pixel of the picture, by the network's name, pooling and precision.

    Args:
        network: `keras.Model`, or anything with a `name` and `layers`.

    Returns:
        A number; the most known if the network is not.
    """
    local = any(getattr(layer, "window", None) for layer in network.layers)
    known = RESTORING_BYTES.get(network.name + (", local" if local else ""))
    if known is None:
        return max(max(row) for row in RESTORING_BYTES.values())
    return known[any("16" in layer.compute_dtype for layer in network.layers)]
