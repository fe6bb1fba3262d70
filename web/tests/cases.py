"""Writes what Python computes for the same tiles and sizes to cases.json, for `npm test` to compare the page with."""

import json
import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1]))

from make_models import blend

from unet_deblur_tf.utils.scripts import quiet_tensorflow

SIZES = ((1, 1), (1, 6), (5, 4), (7, 9), (12, 10))
# length, tile, step, radius
CUTTINGS = (
    (100, 128, 16, 144),
    (720, 256, 32, 288),
    (721, 672, 16, 144),
    (4000, 1184, 32, 288),
    (3001, 1920, 32, 288),
    (2999, 960, 16, 144),
    (97, 64, 32, 288),
)


def main():
    """Writes the file beside this one."""
    quiet_tensorflow()
    import tensorflow as tf

    from unet_deblur_tf.models.blending import blend_share
    from unet_deblur_tf.models.layers import double_size
    from unet_deblur_tf.restoring.restorer import half_size
    from unet_deblur_tf.restoring.tiles import TAPER, spans, tapers

    rng = np.random.default_rng(0)
    cases = {"taper": TAPER, "tiles": [], "halves": [], "doubles": [], "shares": [], "blend": blend()}
    for length, tile, step, radius in CUTTINGS:
        found = spans(length, tile, step, radius)
        cases["tiles"].append(
            {
                "length": length,
                "tile": tile,
                "step": step,
                "radius": radius,
                "spans": found,
                "tapers": [weights.tolist() for weights in tapers(found)],
            }
        )
    for height, width in SIZES:
        picture = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        half = half_size(picture)
        cases["halves"].append(_of(picture, half))
        larger = double_size(tf.constant(half[np.newaxis]))[0, :height, :width].numpy()
        cases["doubles"].append({**_of(picture, half), "doubled": larger.ravel().tolist()})
    for fine, coarse in ((0.0, 0.0), (0.001, 0.01), (0.02, 0.01), (0.02, 0.018), (0.02, 0.04)):
        cases["shares"].append([fine, coarse, float(blend_share(fine, coarse))])
    (Path(__file__).parent / "cases.json").write_text(json.dumps(cases))


def _of(picture, half):
    height, width, _ = picture.shape
    return {"height": height, "width": width, "picture": picture.ravel().tolist(), "half": half.ravel().tolist()}


if __name__ == "__main__":
    main()
