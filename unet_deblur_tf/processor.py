"""What the processor can do, where that decides how long a network takes."""

from pathlib import Path

BFLOAT16 = {"amx_bf16", "avx512_bf16", "bf16"}  # as Linux names the instructions, on x86 and ARM


def instructions(cpuinfo="/proc/cpuinfo"):
    """The names of the processor's instruction sets; empty where the system does not tell, as Linux alone does."""
    try:
        lines = Path(cpuinfo).read_text().splitlines()
    except OSError:
        return set()
    return {word for line in lines if line.startswith(("flags", "Features")) for word in line.split(":")[1].split()}


def lacks_bfloat16(cpuinfo="/proc/cpuinfo"):
    """Whether the processor is known to have no instructions for bfloat16."""
    known = instructions(cpuinfo)
    return bool(known) and not known & BFLOAT16


def advice(network):
    """A sentence for people if the network would be faster in float32 on this machine, else "".

    Without the instructions oneDNN converts back and forth: there a training step of `lite` takes twice as long in
    mixed_bfloat16 (docs/speed.md).

    Args:
        network: `keras.Model`, or anything with `layers`.
    """
    import tensorflow as tf  # only here, so that benchmarks can ask for the instructions without it

    if not any(layer.compute_dtype == "bfloat16" for layer in network.layers):
        return ""
    if tf.config.list_physical_devices("GPU") or not lacks_bfloat16():
        return ""
    return "This processor has no instructions for bfloat16: --precision float32 is faster"
