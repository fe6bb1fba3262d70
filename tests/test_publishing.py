"""What becomes of a trained network."""

import pytest
from helpers import lively_network

from unet_deblur_tf.data.sources import load_pairs
from unet_deblur_tf.evaluation.report import summarise
from unet_deblur_tf.evaluation.scoring import score
from unet_deblur_tf.models.transforms import squeeze_layers, with_local_pooling
from unet_deblur_tf.models.unet import build
from unet_deblur_tf.restoring.restorer import Restorer
from unet_deblur_tf.training.publishing import choose_pooling


@pytest.mark.slow
def test_what_scores_higher_on_validation_pictures_is_exported(make_pairs, capsys):
    pairs = load_pairs(make_pairs("{}/1.png", "{}/2.png"), "all")
    network = lively_network("concat_se")
    psnr = {
        name: summarise(score(Restorer(with_local_pooling(network, window)), pairs, progress=False))["restored"]["psnr"]
        for name, window in (("global", None), ("local", 48))
    }
    best = max(psnr, key=psnr.get)
    assert psnr["global"] != psnr["local"]
    model, record = choose_pooling(network, 32, pairs)
    assert record == {"exported": {"global": "global", "local": "local (48 px)"}[best], "validation_psnr": psnr}
    assert squeeze_layers(model)[0].window == {"global": None, "local": 48}[best]
    for wanted, window in (("global", None), ("local", 48)):
        assert squeeze_layers(choose_pooling(network, 32, pairs, wanted)[0])[0].window == window
    assert choose_pooling(build("unet"), 32, pairs)[1] is None
    assert "exported" in capsys.readouterr().out
