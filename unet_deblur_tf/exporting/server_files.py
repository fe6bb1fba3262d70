"""Files for TensorFlow Serving: warm-up requests inside a version, and the server's configuration files.

The server runs the requests while it loads a version, so that the first user does not wait. Names, places and formats
are TensorFlow Serving's ("SavedModel Warmup" in its documentation).
"""

import json
import os
from pathlib import Path

import tensorflow as tf

from unet_deblur_tf.errors import InputError
from unet_deblur_tf.models.loading import versions
from unet_deblur_tf.utils.files import write_by_rename

FILE = "tf_serving_warmup_requests"  # in a version's assets.extra/

SIZES = ((720, 1280),)  # (height, width)


def available():
    """Whether the protocol's messages are there: the package tensorflow-serving-api, in the extra `serving`."""
    try:
        import tensorflow_serving.apis.prediction_log_pb2  # noqa: F401
    except ImportError:
        return False
    return True


def write_requests(path, sizes=SIZES):
    """Writes one request per signature and size, of grey pictures: some bytes each, whatever the size.

    Args:
        path: of the TFRecord file of `PredictionLog`s.
        sizes: (height, width) of the pictures; what is expected most. The libraries below
            TensorFlow prepare themselves for each size anew.

    Raises:
        ImportError: without tensorflow-serving-api.
    """
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    with tf.io.TFRecordWriter(str(path)) as writer:
        for height, width in sizes:
            # A tensor's last value stands for all that follow.
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


MOUNT = "/models"  # where the server sees the folder, as in its Docker image

KEPT = "# Kept up to date by train.py and export.py as long as this line stands first.\n"

MONITORING = """\
# --monitoring_config_file: figures for Prometheus at http://SERVER:8501/monitoring/prometheus/metrics
prometheus_config {
  enable: true
  path: "/monitoring/prometheus/metrics"
}
"""

BATCHING = """\
# --enable_batching --batching_parameters_file: here not to put requests together (pictures have different
# sizes, and a batch of one keeps two cores busy), but to run only some at a time, so that memory holds.
# As many at once as the server has memory for: one keeps all cores busy. The others wait.
num_batch_threads { value: 1 }
# So many may wait for each model; the next is refused with UNAVAILABLE.
max_enqueued_batches { value: 32 }
# One picture a request. With more, `serving_bytes` takes as many files in one request, but pictures of
# different sizes that happen to come together fail in `serving_default`.
max_batch_size { value: 1 }
batch_timeout_micros { value: 0 }
"""


def write_configs(folder):
    """Writes `models.config` for all models in a folder, and `monitoring.config` and `batching.config` if missing.

    What somebody has changed stays: a `models.config` without our first line, and the other two always.

    Args:
        folder: path that holds a model base path for each model.

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
