"""Configuration files of TensorFlow Serving for a folder of models, in protobuf's text format."""

import json
import os
from pathlib import Path

from unet_deblur_tf.errors import InputError
from unet_deblur_tf.files import write_by_rename
from unet_deblur_tf.serving import versions

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
