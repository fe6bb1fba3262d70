"""Writes what the page needs from the package to web/public/models/: the networks and the constants of their use.

    python web/make_models.py

Each network is an ONNX file of one scale with weights in float16. Its output is not clipped, since the page combines
two scales itself. The name of a file contains its checksum, so that a browser never takes an old file for a new one.
`models.json` has the constants of `models/scales.py` and `restoring/`, which are thus written only once.
"""

import hashlib
import json
import shutil
from pathlib import Path

from unet_deblur_tf.utils.scripts import quiet_tensorflow

FOLDER = Path(__file__).parent / "public" / "models"
NETWORKS = ("lite", "unet")  # the first one is the default


def main():
    """Replaces the folder."""
    quiet_tensorflow()
    from unet_deblur_tf.restoring import tiles
    from unet_deblur_tf.restoring.options import SMALLEST_TILE

    if FOLDER.exists():
        shutil.rmtree(FOLDER)
    FOLDER.mkdir(parents=True)
    contents = {
        "networks": [write(name) for name in NETWORKS],
        "blend": blend(),
        "taper": tiles.TAPER,
        "smallestTile": SMALLEST_TILE,
    }
    (FOLDER / "models.json").write_text(json.dumps(contents, indent=1) + "\n")
    for network in contents["networks"]:
        print(f"{FOLDER / network['file']}  ({network['bytes'] / 1e6:.1f} MB)")


def blend() -> dict:
    """The constants of the blend of two scales, under the names that `src/scales.ts` has for them."""
    from unet_deblur_tf.models import blending

    return {"slope": blending.SLOPE, "threshold": blending.THRESHOLD, "leastCorrection": blending.LEAST_CORRECTION}


def write(name: str) -> dict:
    """Writes a network of the package. Returns its entry in `models.json`."""
    from unet_deblur_tf.exporting.onnx_litert import export_onnx
    from unet_deblur_tf.models.loading import at_chosen_scales, load
    from unet_deblur_tf.restoring.memory import restoring_bytes_per_pixel
    from unet_deblur_tf.restoring.runtimes.keras_parts import facts_of

    network = at_chosen_scales(load(name), 1)
    facts = facts_of(network)
    if facts.squeezes:
        raise SystemExit(f"{name} takes means over the whole picture, which the page does not compute")
    path = FOLDER / f"{name}.onnx"
    export_onnx(network, path, half_weights=True, clip=False)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path = path.rename(FOLDER / f"{name}-{digest[:8]}.onnx")
    return {
        "name": name,
        "file": path.name,
        "bytes": path.stat().st_size,
        "sha256": digest,
        "radius": facts.radius,  # pixels that the network sees around each pixel
        "step": facts.step,  # pixels: tiles begin at multiples of it
        "bytesPerPixel": restoring_bytes_per_pixel(facts),  # memory that the network takes, an upper bound
    }


if __name__ == "__main__":
    main()
