"""The forms for inference and for training compute what the network as built does."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import SMALL_WIDTHS, few, of_each_style, random_pictures, randomise, thin

from unet_deblur_tf.acceleration import levels, winograd
from unet_deblur_tf.acceleration.compression import LevelCompression
from unet_deblur_tf.acceleration.convolutions import Convolution, WinogradConvolution
from unet_deblur_tf.acceleration.inference import for_inference
from unet_deblur_tf.acceleration.levels import MIN_UPSAMPLED_CHANNELS, LevelConvolution, for_training
from unet_deblur_tf.configs import VARIANTS
from unet_deblur_tf.models.scales import trunk_of
from unet_deblur_tf.models.transforms import with_local_pooling
from unet_deblur_tf.models.unet import build, unet

pytestmark = pytest.mark.usefixtures("faster_forms")

winograd_worthwhile = winograd.MIN_CHANNEL_RATIO

STYLES = {
    "batch": dict(),
    "none": dict(norm="none", activation="leaky_relu"),
    "layer": dict(norm="layer", head="sigmoid"),
}
CASES = of_each_style(VARIANTS, STYLES, "none", complete=["unet"], default=["naf", "lite"])


def layers(network, kind):
    return [layer.name for layer in trunk_of(network).layers if type(layer) is kind]


def norms(network):
    return [layer.name for layer in trunk_of(network).layers if isinstance(layer, keras.layers.BatchNormalization)]


@pytest.mark.parametrize(("variant", "style"), CASES)
def test_equals_the_trained_form(variant, style):
    network = randomise(thin(variant, **style))
    before = [weight.numpy() for weight in network.weights]
    fast, direct = for_inference(network), for_inference(network, fewer_multiplications=False)
    for size in ((1, 1), (33, 50), (32, 48)):
        image = random_pictures(*size, count=2)
        expected = network(image)
        # Layer norm over four channels enlarges what rounding does where they are nearly equal; every 3x3 convolution
        # with fewer multiplications, not the wide ones alone, adds to it.
        layer_norm = style.get("norm") == "layer"
        if size == (33, 50):
            np.testing.assert_allclose(direct(image), expected, atol=1e-4 if layer_norm else 1e-5, rtol=1e-5)
        np.testing.assert_allclose(fast(image), expected, atol=1e-4 if layer_norm else 3e-5, rtol=1e-5)
    for weight, value in zip(network.weights, before):
        np.testing.assert_array_equal(weight, value)
    assert bool(norms(network)) == (style == {} and variant != "naf")
    assert norms(fast) == []
    # Layer norm takes all levels together.
    compressing = VARIANTS[variant].get("compress") and style.get("norm") != "layer"
    assert layers(fast, LevelCompression) == [f"up{number}_reduce_conv1" for number in range(1, 5) if compressing]
    joining = VARIANTS[variant]["skips"] in ("own", "all")
    assert layers(fast, LevelConvolution) == [f"up{number}_conv1" for number in range(1, 5) if joining]
    assert ("up1_conv2" in layers(fast, WinogradConvolution)) == (variant != "naf")
    assert ("out_conv" in layers(fast, Convolution)) == (variant not in ("lite", "naf"))  # whose last one is 3x3


@pytest.mark.parametrize(("variant", "style"), CASES)
def test_the_form_for_training_has_the_same_gradients(variant, style):
    network = randomise(thin(variant, **style))
    fast = for_training(network)
    joining = VARIANTS[variant]["skips"] in ("own", "all")
    assert layers(fast, LevelConvolution) == [f"up{number}_conv1" for number in range(1, 5) if joining]
    assert {id(weight) for weight in fast.weights} == {id(weight) for weight in network.weights}
    image, target = random_pictures(48, 80, count=2), random_pictures(48, 80, count=2)

    def step(model):
        with tf.GradientTape() as tape:
            restored = model(image, training=True)
            loss = tf.reduce_mean(tf.square(restored - target))
        return restored, tape.gradient(loss, [weight.value for weight in network.trainable_weights])

    (restored, ours), (expected, theirs) = step(fast), step(network)
    np.testing.assert_allclose(restored, expected, atol=1e-4)
    largest = max(float(tf.reduce_max(tf.abs(each))) for each in theirs)
    for our, their in zip(ours, theirs):
        np.testing.assert_allclose(our, their, atol=1e-3 * largest)


@pytest.mark.parametrize("variant", few(VARIANTS, "unet", "concat_se", "lite"))
def test_where_it_is_worthwhile(variant, monkeypatch):
    monkeypatch.setattr(levels, "MIN_UPSAMPLED_CHANNELS", MIN_UPSAMPLED_CHANNELS)
    by_skips = {"own": 2, "all": 2 if VARIANTS[variant].get("compress") else 4, "projected": 0, "added": 0}
    stages = by_skips[VARIANTS[variant]["skips"]]
    fast = for_inference(build(variant))
    assert layers(fast, LevelConvolution) == [f"up{number}_conv1" for number in range(1, stages + 1)]


def test_where_multiplications_are_saved(monkeypatch):
    """Where channels are many: by the own part of a joined convolution, too, whose kernel is kept once."""
    monkeypatch.setattr(levels, "MIN_UPSAMPLED_CHANNELS", MIN_UPSAMPLED_CHANNELS)
    monkeypatch.setattr(winograd, "MIN_CHANNEL_RATIO", winograd_worthwhile)
    network = build("unet")
    fast = for_inference(network)
    wide = ["down2_conv2", "down3_conv1", "down3_conv2", "down4_conv1", "down4_conv2", "up1_conv2"]
    assert layers(fast, WinogradConvolution) == wide
    joined = fast.get_layer("up1_conv1")
    assert type(joined.own) is WinogradConvolution
    assert joined.own.kernel.shape == (36, 256, 256)
    assert joined.convolution.kernel.shape == (3, 3, 256, 256)

    direct = for_inference(network, fewer_multiplications=False)
    assert layers(direct, WinogradConvolution) == []
    assert type(direct.get_layer("up1_conv1").own) is Convolution
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["GPU:0"])
    assert layers(for_inference(network), WinogradConvolution) == []


@pytest.mark.parametrize("variant", few(["concat_se", "concat_reduce_se"], "concat_se"))
def test_local_pooling(variant):
    """Its gates differ from place to place, so that levels have to be upsampled before; the stage below has none."""
    network = with_local_pooling(randomise(thin(variant)), 32)
    fast = for_inference(network)
    image = random_pictures(70, 90)
    np.testing.assert_allclose(fast(image), network(image), atol=1e-5)
    for layer in fast.layers:
        if type(layer) is LevelConvolution:
            assert sorted(layer.factors, reverse=True)[:2] == [2, 1]


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(precision):
    reference = randomise(unet(skips="all", attention=True, widths=SMALL_WIDTHS))
    keras.config.set_dtype_policy(precision)
    network = unet(skips="all", attention=True, widths=SMALL_WIDTHS)
    network.set_weights(reference.get_weights())
    fast = for_inference(network)
    assert {layer.compute_dtype for layer in fast.layers if isinstance(layer, Convolution)} == {precision[6:]}
    image = random_pictures(48, 64)
    expected = reference(image)
    # As close to float32 as the trained form in the same precision is, give or take.
    error, usual = (float(np.abs(each(image) - expected).mean()) for each in (fast, network))
    assert error < 1.5 * usual + 1e-6


def random_levels(rng, factors, size):
    """Random features, `factors` times smaller than `size`: their channels, themselves, and upsampled and joined."""
    channels = [3 + index for index in range(len(factors))]
    features = [
        rng.normal(size=(2, size[0] // factor, size[1] // factor, count)).astype(np.float32)
        for factor, count in zip(factors, channels)
    ]
    upsampled = []
    for part, factor in zip(features, factors):
        while factor > 1:
            part = tf.image.resize(part, (2 * part.shape[1], 2 * part.shape[2]))
            factor //= 2
        upsampled.append(part)
    return channels, features, np.concatenate(upsampled, -1)


@pytest.mark.parametrize("factors", [(1, 2), (2, 1, 4), (8, 1), (4, 2, 1, 2, 8)])
@pytest.mark.parametrize("size", [(8, 8), (16, 40)])
def test_level_convolution(factors, size):
    """Next to what it stands for: upsample, join, convolve."""
    rng = np.random.default_rng(sum(factors))
    channels, features, joined = random_levels(rng, factors, size)
    kernel = rng.normal(size=(3, 3, sum(channels), 5)).astype(np.float32)
    bias = rng.normal(size=5).astype(np.float32)
    expected = tf.nn.conv2d(joined, kernel, 1, "SAME") + bias
    np.testing.assert_allclose(LevelConvolution(Convolution(kernel, bias), factors)(features), expected, atol=1e-4)


@pytest.mark.parametrize("factors", [(1,), (8, 8), (2, 1), (2, 1, 4), (4, 2, 1, 2, 8)])
@pytest.mark.parametrize("rows", [1, 2, 5, 12])
def test_level_compression(factors, rows):
    """Next to what it stands for, for all rows at once: those at the borders of bands, too, and with empty bands."""
    rng = np.random.default_rng(rows)
    channels, features, joined = random_levels(rng, factors, (max(factors) * rows, 24))
    kernel, second = (rng.normal(size=size).astype(np.float32) for size in ((1, 1, sum(channels), 5), (3, 3, 5, 4)))
    bias, scale, shift = (rng.normal(size=count).astype(np.float32) for count in (5, sum(channels), sum(channels)))
    compressed = np.maximum(joined * scale + shift, 0) @ kernel[0, 0] + bias
    expected = tf.nn.conv2d(np.maximum(compressed, 0), second, 1, "SAME") + bias[:4]
    rest = [tf.nn.relu, Convolution(second, bias[:4])]
    shapes = [each.shape for each in features]
    for layers, result in ([], compressed), (rest, expected):
        layer = LevelCompression(kernel, bias, channels, factors, scale, shift, tf.nn.relu, layers)
        np.testing.assert_allclose(layer(features), result, atol=1e-4, rtol=1e-5)
        assert layer.compute_output_shape(shapes) == result.shape


def test_what_is_wide_is_never_there_for_all_rows(monkeypatch):
    """The finer a stage, the more bands it has, each with two rows more where it ends within the picture."""
    heights = []
    concatenate = LevelCompression._concatenate

    def recorded(layer, *arguments):
        output = concatenate(layer, *arguments)
        heights.append(output.shape[1])
        return output

    fast = for_inference(thin("concat_reduce"))
    monkeypatch.setattr(LevelCompression, "_concatenate", recorded)
    fast(random_pictures(256, 64))
    bands = [[16 + 2, *(count - 2) * [16 + 2 + 2], 16 + 2] for count in (4, 8, 16)]
    assert heights == [32, *itertools.chain(*bands)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "layer", "awaited", "least"),
    [("concat_se", "up4_conv1", "up3_act2", 4), ("concat_reduce", "up4_reduce_conv1", "down3_act2", 4)],
)
def test_a_stage_waits_for_all_its_levels(variant, layer, awaited, least):
    # Or what is computed of the first levels would be in memory while the others come about.
    fast = tf.function(for_inference(thin(variant)))
    graph = fast.get_concrete_function(tf.TensorSpec((1, 64, 64, 3))).graph
    operations = graph.get_operations()
    convolutions = [op for op in operations if op.type in ("Conv2D", "BatchMatMulV2") and f"/{layer}" in op.name]
    assert len(convolutions) >= least
    later = descendants(op for op in operations if f"/{awaited}" in op.name)
    assert [op.name for op in convolutions if op not in later] == []


def descendants(ops):
    """All operations that are done after one of some."""
    known, new = set(), set(ops)
    while new:
        known |= new
        after = [[*op._control_outputs, *(user for tensor in op.outputs for user in tensor.consumers())] for op in new]
        new = {each for one in after for each in one} - known
    return known


def test_other_models_stay_as_they_are():
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(3, 3, padding="same")])
    assert for_inference(model) is model


@pytest.mark.parametrize(
    "options",
    [{}, {"strides": 2}, {"padding": "valid"}, {"dilation_rate": 2}, {"groups": 4}, {"activation": "relu"}],
    ids=str,
)
def test_convolutions_that_our_networks_do_not_have_are_left_alone(options):
    """Of a model from elsewhere; the first convolution ends it, too, and its result is upsampled and concatenated."""
    image = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, padding="same")(image)
    x = keras.layers.Concatenate()([x, x])
    outputs = keras.layers.Conv2D(8, 3, **{"padding": "same", **options})(x)
    model = keras.Model(image, outputs)
    picture = random_pictures(9, 11, count=1)
    np.testing.assert_allclose(for_inference(model)(picture), model(picture), atol=1e-5)
