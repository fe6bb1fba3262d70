"""Writes files for TensorFlow Serving: warm-up requests inside a version, and the server's configuration files.

The server runs the warm-up requests while it loads a version, so that the first user does not wait. TensorFlow Serving
defines the names, places and formats ("SavedModel Warmup" in its documentation).
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from unet_deblur_tf.errors import InputError
from unet_deblur_tf.models.finding import versions
from unet_deblur_tf.utils.files import write_by_rename

FILE = "tf_serving_warmup_requests"  # in a version's assets.extra/

SIZES = ((720, 1280),)  # (height, width)


def available() -> bool:
    """Whether tensorflow-serving-api (the extra `serving`) is installed, which defines the messages of the server."""
    try:
        import tensorflow_serving.apis.prediction_log_pb2  # noqa: F401
    except ImportError:
        return False
    return True


def write_requests(path: str | Path, sizes: Sequence[tuple[int, int]] = SIZES) -> None:
    """Writes one warm-up request of a grey picture per signature and size.

    A request takes only some bytes, whatever the size of its picture.

    Args:
        path: path of the TFRecord file, which will hold `PredictionLog` messages.
        sizes: list of (height, width), the most frequent sizes of pictures. The libraries under TensorFlow prepare for
            each size separately.

    Raises:
        ImportError: if tensorflow-serving-api is not installed.
    """
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    with tf.io.TFRecordWriter(str(path)) as writer:
        for height, width in sizes:
            # A tensor message may hold fewer values than the tensor has: the last one is repeated.
            tensor = tf.make_tensor_proto(0.5, tf.float32, (1, height, width, 3))
            file = tf.io.encode_png(tf.fill((height, width, 3), tf.constant(128, tf.uint8))).numpy()
            for signature, name, value in (
                ("serving_default", "image", tensor),
                ("serving_bytes", "image_bytes", tf.make_tensor_proto([file])),
            ):
                request = predict_pb2.PredictRequest()
                request.model_spec.signature_name = signature
                request.inputs[name].CopyFrom(value)
                log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
                writer.write(log.SerializeToString())


MOUNT = "/models"  # the folder's path inside the server's Docker image

# `write_configs` replaces only files that begin with this line, those of earlier releases included: do not change it.
KEPT = "# Kept up to date by train.py and export.py as long as this line stands first.\n"

MONITORING = """\
# For --monitoring_config_file: metrics for Prometheus at http://SERVER:8501/monitoring/prometheus/metrics
prometheus_config {
  enable: true
  path: "/monitoring/prometheus/metrics"
}
"""

BATCHING = """\
# For --enable_batching --batching_parameters_file. The purpose is not to combine requests: pictures differ in size,
# and a batch of one keeps two cores busy. The purpose is to limit how many requests run at once, and so the memory.
# How many requests run at once. One keeps all cores busy; the others wait.
num_batch_threads { value: 1 }
# How many requests can wait for each model. The server rejects further ones with UNAVAILABLE.
max_enqueued_batches { value: 32 }
# One picture per request. With a larger value, `serving_bytes` takes that many files in one request, but
# `serving_default` fails if the server combines pictures of different sizes.
max_batch_size { value: 1 }
batch_timeout_micros { value: 0 }
"""


def write_configs(folder: str | Path) -> None:
    """Writes the server's configuration: `models.config`, `monitoring.config` and `batching.config`.

    `models.config` lists all models in the folder. It is replaced as long as its first line is `KEPT`. The other two
    files are written only if they are missing. So changes that people make to these files are kept.

    Args:
        folder: path of the folder that contains the model base paths.

    Raises:
        InputError: if the folder cannot be written to.
    """
    folder = Path(folder)
    models = folder / "models.config"
    try:
        if not models.exists() or models.read_text().startswith(KEPT):
            entries = "".join(
                f"  config {{\n    name: {json.dumps(base.name)}\n    base_path: {json.dumps(f'{MOUNT}/{base.name}')}\n"
                '    model_platform: "tensorflow"\n  }\n'
                for base in sorted(folder.iterdir())
                if os.access(base, os.R_OK) and versions(base)
            )
            _write(models, f"{KEPT}model_config_list {{\n{entries}}}\n")
        for name, text in (("monitoring.config", MONITORING), ("batching.config", BATCHING)):
            if not (folder / name).exists():
                _write(folder / name, text)
    except OSError as error:
        raise InputError(f"Cannot write TensorFlow Serving's configuration to {folder}: {error.strerror}") from error


def _write(path, text):
    with write_by_rename(path) as partial:
        partial.write_text(text)
