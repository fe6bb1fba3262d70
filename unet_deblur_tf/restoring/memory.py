"""How much memory restoring takes per pixel of the picture."""

from unet_deblur_tf.restoring.runtimes.facts import Facts

# Peak bytes per pixel of the picture while a network restores it on a CPU, beyond what the process used before: in
# TensorFlow in float32 and in a mixed precision, in ONNX Runtime and in OpenVINO. These are the measurements of `python
# benchmarks/memory.py` plus a tenth. Local pooling was not measured in the other runtimes: it has twice the figures of
# TensorFlow there, as an upper bound.
COLUMNS = ("float32", "mixed", "onnxruntime", "openvino")
RESTORING_BYTES = {
    "unet": (1080, 630, 1250, 1420),
    "concat": (1030, 760, 1170, 1610),
    "concat_se": (1270, 700, 1170, 1750),
    "concat_se, local": (6820, 3540, 13640, 13640),
    "concat_reduce": (1510, 770, 1400, 3370),
    "concat_reduce_se": (1460, 810, 1250, 4150),
    "concat_reduce_se, local": (5370, 4710, 10740, 10740),
    "multiscale": (890, 590, 1210, 1460),
    "naf": (1440, 830, 1250, 1760),
    "lite": (350, 270, 300, 400),
}


def restoring_bytes_per_pixel(facts: Facts, runtime: str = "tensorflow") -> int:
    """Looks up the memory that restoring takes.

    Args:
        facts: `Facts` of the network.
        runtime: "tensorflow", "onnxruntime" or "openvino".

    Returns:
        Bytes per pixel of the picture. For an unknown network, the largest number of all.
    """
    column = runtime
    if runtime == "tensorflow":
        column = "float32" if facts.precision == "float32" else "mixed"
    rows = [RESTORING_BYTES[facts.name]] if facts.name in RESTORING_BYTES else RESTORING_BYTES.values()
    return max(row[COLUMNS.index(column)] for row in rows)
