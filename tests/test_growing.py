"""Networks that start from a smaller one compute the same, and can learn what they have beside it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import SMALL_WIDTHS, few, of_each_style, random_pictures, randomise, thin

from unet_deblur_tf.configs import VARIANTS
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.models.growing import grow_from
from unet_deblur_tf.models.loading import initialize_from, load
from unet_deblur_tf.models.scales import at_scales
from unet_deblur_tf.models.unet import build, unet

STYLES = {
    "batch": dict(norm="batch", activation="relu"),
    "layer": dict(norm="layer", activation="leaky_relu"),
    "none": dict(norm="none", activation="leaky_relu"),
    "none, ReLU": dict(norm="none", activation="relu"),
}
LARGER = [name for name, arguments in VARIANTS.items() if arguments["skips"] in ("own", "all") and name != "unet"]


@pytest.mark.parametrize(("variant", "style"), of_each_style(LARGER, STYLES, "none", ["concat_reduce"], default=LARGER))
def test_every_variant_starts_as_unet(variant, style):
    smaller = randomise(thin("unet", **style))
    larger = thin(variant, **style)
    if VARIANTS[variant].get("compress") and style["norm"] != "none":
        with pytest.raises(InputError, match=r"other layers than this concat_reduce.*up1_reduce_norm1"):
            grow_from(larger, smaller)
        return
    fresh = {weight.path: weight.numpy() for weight in larger.weights}
    grow_from(larger, smaller)
    for size in ((33, 50), (64, 48)):
        picture = random_pictures(*size)
        expected = smaller(picture)
        assert np.abs(expected - picture).mean() > 0.01
        # Layer norm over four channels enlarges what a sum in another order does, as on processors without AVX512.
        np.testing.assert_allclose(larger(picture), expected, atol=5e-5 if style["norm"] == "layer" else 2e-6)
    assert any(np.abs(weight.numpy() - fresh[weight.path]).max() > 0 for weight in larger.weights)
    # What is new learns: something of each kind of weight has a gradient. (Gates this thin have one hidden unit, which
    # can be dead by chance.)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(larger(picture, training=True) - 0.5))
    gradients = dict(zip((v.path for v in larger.trainable_variables), tape.gradient(loss, larger.trainable_variables)))
    for part in (
        "_se1/excite" if variant == "concat_se" else "none",
        "_reduce_conv2/kernel",
        "block1_conv2/kernel",
        "up4_conv1/kernel",
    ):
        found = [gradient for path, gradient in gradients.items() if part in path]
        assert not found or any(np.abs(gradient).max() > 0 for gradient in found), part


@pytest.mark.parametrize("variant", few(LARGER, "concat_se", "multiscale"))
def test_every_variant_starts_as_the_shipped_unet(variant):
    network = build(variant, norm="none", activation="leaky_relu")
    initialize_from(network, "unet")
    picture = random_pictures(48, 64)
    np.testing.assert_allclose(network(picture), load("unet")(picture), atol=2e-6)


def test_gates_start_at_one_half():
    network = thin("concat_se", norm="none", activation="leaky_relu")
    grow_from(network, thin("unet", norm="none", activation="leaky_relu"))
    gate = network.get_layer("up2_se3").gate(keras.ops.ones((1, 1, 1, 12)))
    np.testing.assert_array_equal(gate, np.full((1, 1, 1, 12), 0.5))


@pytest.mark.parametrize(
    ("variant", "source"),
    [("unet", "concat"), ("lite", "unet"), ("unet", "lite"), ("concat", "concat_se"), ("naf", "unet")],
)
def test_what_cannot_grow_is_named(variant, source):
    smaller = thin(source)
    with pytest.raises(InputError, match=f"The source is a {source} with other layers than this {variant} "):
        grow_from(thin(variant), smaller)


@pytest.mark.parametrize("style", [dict(head="sigmoid"), dict(activation="leaky_relu"), dict(norm="layer")])
def test_another_style_cannot_grow(style):
    smaller = thin("unet")
    with pytest.raises(InputError, match="--variant, --norm, --head and --activation must be those"):
        grow_from(thin("concat", **style), smaller)


@pytest.mark.parametrize("style", [STYLES["batch"], STYLES["none"]], ids=["batch", "none"])
@pytest.mark.parametrize("more", [dict(), dict(scale=2, skips="projected")], ids=["full", "half"])
def test_a_guide_and_blocks_change_nothing_at_first(style, more):
    smaller = randomise(unet(**style, **more, widths=SMALL_WIDTHS))
    larger = at_scales(unet(**style, **more, widths=SMALL_WIDTHS, blocks={"down4": 2, "up1": 1}, guided=True), 2)
    grow_from(larger, smaller)
    picture = random_pictures(40, 56)
    expected = smaller(picture)
    assert np.abs(expected - picture).mean() > 0.01
    # Equal but for the order of sums; the outputs of random weights reach 9.
    np.testing.assert_allclose(larger(picture), expected, atol=2e-6 * max(1, np.abs(expected).max()))
    # And each new weight that is not zero for good can learn.
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(larger(picture, training=True) - 0.5))
    gradients = tape.gradient(loss, larger.trainable_variables)
    moving = {variable.path for variable, gradient in zip(larger.trainable_variables, gradients) if np.any(gradient)}
    assert any("block1_conv2/kernel" in path for path in moving)
    guide = dict(zip((variable.path for variable in larger.trainable_variables), gradients))
    (first,) = (np.asarray(gradient) for path, gradient in guide.items() if path.endswith("inc_conv1/kernel"))
    assert np.abs(first.reshape(*first.shape[:2], -1, 2, 3, first.shape[-1])[:, :, :, 1]).max() > 0
