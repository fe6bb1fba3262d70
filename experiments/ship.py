"""Puts a trained network among those that come with the package, with float16 weights and its SHA-256 in the manifest.

python experiments/ship.py saved_models/lite lite --default
"""

import argparse
import hashlib
import json
from pathlib import Path

from unet_deblur_tf.utils import scripts


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a .keras file, or a folder that train.py wrote")
    parser.add_argument("name", help="what it will be called after --model")
    parser.add_argument("--default", action="store_true", help="taken where no model is named")
    return parser.parse_args()


def main(arguments):
    scripts.quiet_tensorflow()
    import numpy as np

    from unet_deblur_tf.models import pretrained
    from unet_deblur_tf.models.finding import find_model, keras_file
    from unet_deblur_tf.models.loading import load_network
    from unet_deblur_tf.models.transforms import in_precision
    from unet_deblur_tf.utils.files import write_by_rename

    source = keras_file(find_model(arguments.model))
    trained = load_network(source)
    # Only the file is in float16. `load_network` makes float32 of it, which every processor computes fast and exactly.
    network = in_precision(trained, "float16")
    pretrained.FOLDER.mkdir(exist_ok=True)
    path = pretrained.FOLDER / f"{arguments.name}.keras"
    with write_by_rename(path) as partial:
        network.save(partial)
        for ours, theirs in zip(load_network(partial).get_weights(), trained.get_weights(), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=2**-11, atol=1e-7)  # rounded, neither clipped nor lost
    run = source.with_name("run.json")
    settings = json.loads(run.read_text())["settings"] if run.exists() else {}
    manifest = pretrained.manifest()
    manifest["networks"][arguments.name] = {
        "file": path.name,
        "variant": network.name,
        "parameters": network.count_params(),
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        # All but where things lay on the machine that trained it.
        "settings": {key: value for key, value in settings.items() if key not in ("data", "start_from")},
    }
    if arguments.default or manifest["default"] is None:
        manifest["default"] = arguments.name
    with write_by_rename(pretrained.FOLDER / "manifest.json") as partial:
        partial.write_text(json.dumps(manifest, indent=1) + "\n")
    print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    scripts.run(main, parse_arguments())
