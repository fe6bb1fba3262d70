"""Image deblurring with U-Nets in Keras 3 and TensorFlow.

    import unet_deblur_tf

    unet_deblur_tf.deblur("photo.jpg")                      # writes restored/photo.jpg
    restore = unet_deblur_tf.Restorer("unet")               # function from and to uint8 (height, width, 3)
    network = unet_deblur_tf.load("unet")                   # a trained keras.Model
    network = unet_deblur_tf.build("concat_se")             # a keras.Model with fresh weights
    summary = unet_deblur_tf.evaluate("unet", "pairs/")     # PSNR and SSIM

Importing the package is fast: each of these names imports what it needs at its first use.
"""

import importlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unet_deblur_tf.configs import VARIANTS
    from unet_deblur_tf.errors import InputError
    from unet_deblur_tf.evaluation.evaluate import evaluate
    from unet_deblur_tf.models.loading import load
    from unet_deblur_tf.models.unet import build
    from unet_deblur_tf.restoring.deblur import deblur
    from unet_deblur_tf.restoring.options import RestoringOptions
    from unet_deblur_tf.restoring.restorer import Restorer

    __version__: str

_HOMES = {
    "InputError": "errors",
    "RestoringOptions": "restoring.options",
    "VARIANTS": "configs",
    "Restorer": "restoring.restorer",
    "build": "models.unet",
    "deblur": "restoring.deblur",
    "evaluate": "evaluation.evaluate",
    "load": "models.loading",
}
__all__ = [
    "VARIANTS",
    "InputError",
    "Restorer",
    "RestoringOptions",
    "__version__",
    "build",
    "deblur",
    "evaluate",
    "load",
]


def __getattr__(name):
    if name == "__version__":
        from importlib.metadata import version

        value = version("unet_deblur_tf")
    elif name in _HOMES:
        value = getattr(importlib.import_module(f"unet_deblur_tf.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__})


# If Keras is imported already, register our layers, so that `keras.saving.load_model` can load our networks.
if "keras" in sys.modules:
    importlib.import_module("unet_deblur_tf.models.unet")
