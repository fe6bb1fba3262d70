"""What computes a network when pictures are restored: TensorFlow, ONNX Runtime or OpenVINO.

    network = open_network("unet", RestoringOptions(runtime="onnxruntime"))
    (restored,) = network.part("whole")(image)     # from and to float32 (1, height, width, 3)

The other runtimes need a file that `converted` makes of the network once. They then need no TensorFlow, whose import
takes longer than most photos.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from unet_deblur_tf.errors import InputError
from unet_deblur_tf.models import pretrained
from unet_deblur_tf.models.finding import find_model
from unet_deblur_tf.restoring.options import RestoringOptions
from unet_deblur_tf.utils.hardware import has_gpu
from unet_deblur_tf.utils.scripts import quiet_tensorflow

if TYPE_CHECKING:
    import keras

    from unet_deblur_tf.restoring.runtimes.converted import ConvertedNetwork
    from unet_deblur_tf.restoring.runtimes.tensorflow_network import TensorFlowNetwork

# What `converted` needs to make a file for each runtime: the extra of the same name installs it.
PACKAGES = {"onnxruntime": ("onnxruntime", "onnx", "tf2onnx"), "openvino": ("openvino", "onnx", "tf2onnx")}


def choose_runtime(model: "str | Path | keras.Model | None", options: RestoringOptions) -> str:
    """What computes.

    "auto" is TensorFlow, except for the networks that come with the package: on a processor, in float32, these run in
    ONNX Runtime or else in OpenVINO, if one of them is installed.

    Args:
        model: see `Restorer`.
        options: `RestoringOptions`.

    Returns:
        "tensorflow", "onnxruntime" or "openvino".

    Raises:
        InputError: if there is no such model, a package is missing, or the runtime does not take the network or the
            precision.
    """
    in_float32 = options.precision in (None, "float32")
    is_path = isinstance(model, str | Path | None)
    if options.runtime == "auto":
        if not (in_float32 and is_path and pretrained.is_own(find_model(model))) or has_gpu():
            return "tensorflow"
        return next((name for name in PACKAGES if not _missing(name)), "tensorflow")
    if options.runtime == "tensorflow":
        return options.runtime
    if not in_float32:
        raise InputError(f"--runtime {options.runtime} computes in float32, not in {options.precision}")
    if not is_path:
        raise InputError(f"--runtime {options.runtime} takes the path or the name of a network, not a keras.Model")
    if missing := _missing(options.runtime):
        raise InputError(
            f'--runtime {options.runtime} needs {missing}: pip install "unet_deblur_tf[{options.runtime}]"'
        )
    return options.runtime


def start_quietly(model: "str | Path | keras.Model | None", **restoring) -> None:
    """Imports TensorFlow as the commands do, see `scripts.quiet_tensorflow`, if it is what computes.

    Args:
        model: see `choose_runtime`.
        **restoring: the fields of `RestoringOptions`.

    Raises:
        InputError: see `choose_runtime`.
    """
    if choose_runtime(model, RestoringOptions(**restoring)) == "tensorflow":
        quiet_tensorflow()


def open_network(
    model: "str | Path | keras.Model | None", options: RestoringOptions, progress: bool = False
) -> "TensorFlowNetwork | ConvertedNetwork":
    """Opens a network for the runtime that `choose_runtime` names.

    Args:
        model, options: see `choose_runtime`.
        progress: bool, whether to say on standard error that a network is converted, which takes half a minute.

    Returns:
        An object with the attribute `facts`, see `facts.Facts`; the attribute `runtime`; and the method `part`.
        `part(name)`, with a name of `facts.PARTS`, returns a function from float32 arrays, each a batch of one, to a
        list of such arrays. The function raises `OutOfMemory` or `TooManyPixels`.

    Raises:
        InputError: see `choose_runtime`; or if the file cannot be loaded, a file that comes with the package was
            changed, or the network cannot take the pooling or the number of scales.
    """
    runtime = choose_runtime(model, options)
    if runtime == "tensorflow":
        from unet_deblur_tf.restoring.runtimes.tensorflow_network import load

        return load(model, options)
    from unet_deblur_tf.restoring.runtimes.converted import ConvertedNetwork

    return ConvertedNetwork(find_model(model), options.pooling, options.scales, runtime, progress)


def _missing(runtime):
    """The first package that a runtime lacks; None if all are there."""
    return next((package for package in PACKAGES[runtime] if not find_spec(package)), None)


class OutOfMemory(Exception):
    """The device has not enough memory for the inputs."""


class TooManyPixels(Exception):
    """The network has a limit of its own, which the input exceeds, see `saved_model.export`."""
