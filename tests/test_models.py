"""Every variant: exact parameter counts, any picture size, precisions, saving, and a second implementation."""

import itertools
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import GMACS, SMALL_WIDTHS, few, random_pictures, randomise, thin, thin_arguments, untrained
from reference import forward

from unet_deblur_tf.configs import ACTIVATIONS, FIGURE_LAYERS, HEADS, NORMS, PRECISIONS, VARIANTS
from unet_deblur_tf.explaining.gradcam import output_layer
from unet_deblur_tf.models.layers import BilinearUpsampling2D, Excitation, PixelShuffle, PixelUnshuffle
from unet_deblur_tf.models.scales import scales_of, trunk_of
from unet_deblur_tf.models.transforms import in_precision
from unet_deblur_tf.models.unet import build, unet

# Exact trainable counts with batch norm. The plain network's is the original project's own;
# "concat" adds its wider first convolutions, "reduce" its compression blocks, "se"
# 4 * sum(2 * C * C / 16) = 43,520 for C = 32, 64, 128, 256.
PARAMETERS = {
    "unet": 4_318_467,
    "concat": 5_608_707,
    "concat_se": 5_608_707 + 43_520,
    "concat_reduce": 8_381_187,
    "concat_reduce_se": 8_381_187 + 43_520,
    # Beside "unet": the kernel of the guide, 9 * 3 * 32; three blocks of C = 256 channels, each with convolutions of
    # 2 * 9 * C * C and batch norm of 4 * C.
    "multiscale": 4_318_467 + 864 + 3 * (1_179_648 + 1_024),
    # As published: 17.1 M (Chen et al., ECCV 2022, table 6 and the authors' code), here to the last one.
    "naf": 17_111_907,
    # Convolutions 1,056,624, batch norm 2 * 2 * (48 + 64 + 96 + 96 + 64 + 96 + 96 + 64 + 48), the output's 12 biases.
    "lite": 1_058_572,
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_trainable_parameters(variant):
    weights = untrained(variant).trainable_weights
    assert sum(int(np.prod(weight.shape)) for weight in weights) == PARAMETERS[variant]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_fresh_residual_network_returns_its_input(variant):
    image = random_pictures(33, 50)
    np.testing.assert_array_equal(untrained(variant)(image), image)


def test_a_sigmoid_network_stays_in_range():
    restored = np.asarray(unet(head="sigmoid", widths=SMALL_WIDTHS)(50 * random_pictures(16, 16) - 25))
    assert restored.min() >= 0
    assert restored.max() <= 1
    assert restored.std() > 0


@pytest.mark.parametrize("variant", few(VARIANTS, "unet", "concat_reduce_se", "lite"))
def test_any_picture_size(variant):
    """Several at once, each next to the reference."""
    model = randomise(thin(variant, norm="batch"))
    structure = {key: value for key, value in thin_arguments(variant).items() if key != "widths"}
    for size in ((1, 1), (1, 40), (2, 3), (17, 31), (32, 48), (65, 63)):
        pictures = random_pictures(*size, count=2)
        restored = np.asarray(model(pictures))
        assert restored.shape == (2, *size, 3)
        for picture, found in zip(pictures, restored):
            expected = forward(weights_by_layer(model), picture.astype(float), **structure)
            np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.abs(expected - picture).max() > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_720p_picture(variant):
    # As a graph: called eagerly, Keras keeps every layer's output until the end, 18 GB in all.
    image = random_pictures(720, 1280)
    restored = np.asarray(tf.function(randomise(build(variant)))(tf.constant(image)))
    assert restored.shape == image.shape
    assert np.isfinite(restored).all()


# Of every two of these settings, each with each.
USUAL_STYLES = [
    *[("batch", "residual", "relu"), ("batch", "sigmoid", "leaky_relu"), ("layer", "residual", "leaky_relu")],
    *[("layer", "sigmoid", "relu"), ("none", "residual", "leaky_relu"), ("none", "sigmoid", "relu")],
]


@pytest.mark.parametrize(
    ("norm", "head", "activation"),
    [
        pytest.param(*style, marks=() if style in USUAL_STYLES else pytest.mark.slow)
        for style in itertools.product(NORMS, HEADS, ACTIVATIONS)
    ],
)
def test_equals_the_reference_in_every_style(norm, head, activation):
    style = dict(norm=norm, head=head)
    model = randomise(
        unet(
            skips="all",
            attention=True,
            compress=True,
            widths=SMALL_WIDTHS,
            **style,
            activation=activation,
            name="styled",
        )
    )
    image = random_pictures(17, 31)
    slope = 0.2 if activation == "leaky_relu" else 0.0
    expected = forward(
        weights_by_layer(model),
        image[0].astype(float),
        skips="all",
        attention=True,
        compress=True,
        slope=slope,
        **style,
    )
    np.testing.assert_allclose(model(image)[0], expected, atol=1e-4)


@pytest.mark.parametrize("norm", NORMS)
def test_projected_levels_equal_the_reference_in_every_norm(norm):
    structure = dict(skips="projected", attention=True, scale=2)
    model = randomise(unet(**structure, norm=norm, widths=SMALL_WIDTHS))
    image = random_pictures(33, 70)
    expected = forward(weights_by_layer(model), image[0].astype(float), **structure, norm=norm)
    assert np.abs(expected - image[0]).max() > 0.1
    np.testing.assert_allclose(model(image)[0], expected, atol=1e-4)


def weights_by_layer(model):
    layers = trunk_of(model).layers
    return {layer.name: [np.asarray(weight, float) for weight in layer.get_weights()] for layer in layers}


@pytest.mark.parametrize("variant", VARIANTS)
def test_layer_names_follow_the_figure(variant):
    model = trunk_of(untrained(variant))
    with_weights = [layer.name for layer in model.layers if layer.weights]
    assert {name.split("_")[0] for name in with_weights} == set(FIGURE_LAYERS)
    # The outputs of layers 1-9 have these widths.
    widths = [model.get_layer(output_layer(model, name)).output.shape[-1] for name in FIGURE_LAYERS[:-1]]
    others = {"lite": [48, 64, 96, 96, 64, 96, 96, 64, 48], "naf": [32, 64, 128, 256, 512, 256, 128, 64, 32]}
    assert widths == others.get(variant, [32, 64, 128, 256, 256, 128, 64, 32, 32])


@pytest.mark.parametrize("variant", few(VARIANTS, "concat_reduce_se", "naf", "lite"))
def test_keras_file_round_trip(variant, tmp_path):
    model = randomise(thin(variant))
    model.save(tmp_path / "model.keras")
    image = random_pictures(40, 56)
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again(image), model(image), atol=1e-5)


# The others go through the same layers.
QUICK = [("unet", "mixed_float16")]


@pytest.mark.parametrize(
    ("variant", "precision"),
    [
        pytest.param(variant, precision, marks=() if (variant, precision) in QUICK else pytest.mark.slow)
        for variant in VARIANTS
        for precision in PRECISIONS
    ],
)
def test_one_training_step_in_each_precision(variant, precision):
    keras.config.set_dtype_policy(precision)
    model = thin(variant)
    assert model.output.dtype == "float32"
    model.compile("adam", "mean_absolute_error", jit_compile=False)
    model.optimizer.build(model.trainable_variables)  # or the step would be traced twice
    image = random_pictures(32, 32, count=2)
    assert model.evaluate(image, np.zeros_like(image), verbose=0) == pytest.approx(image.mean(), rel=1e-3)
    randomise(model)
    before = {weight.path: weight.numpy() for weight in model.trainable_weights}
    assert np.isfinite(model.train_on_batch(image, np.zeros_like(image)))
    for weight in model.trainable_weights:
        moved = np.abs(weight.numpy() - before[weight.path]).max()
        assert np.isfinite(moved), weight.path
        # At this width squeeze-and-excitation has a single hidden ReLU, which may be dead.
        assert moved > 0 or "_se" in weight.path, weight.path


@pytest.mark.parametrize("head", ["residual", pytest.param("sigmoid", marks=pytest.mark.slow)])
@pytest.mark.parametrize("variant", few(VARIANTS, "concat_se", "lite"))
def test_another_precision_is_what_would_have_been_built_in_it(variant, head):
    network = randomise(thin(variant, head=head))
    keras.config.set_dtype_policy("mixed_bfloat16")
    built = thin(variant, head=head)
    built.set_weights(network.get_weights())
    keras.config.set_dtype_policy("float32")
    mixed = in_precision(network, "mixed_bfloat16")
    image = random_pictures(32, 48)
    np.testing.assert_array_equal(mixed(image), built(image))
    for layer, other in zip(trunk_of(mixed).layers, trunk_of(built).layers, strict=True):
        if isinstance(layer, keras.layers.InputLayer):  # which have no precision
            continue
        assert (layer.name, layer.compute_dtype) == (other.name, other.compute_dtype)
    np.testing.assert_allclose(in_precision(mixed, "float32")(image), network(image), atol=1e-6)


def test_every_weight_learns():
    model = randomise(unet(skips="all", attention=True, compress=True, widths=SMALL_WIDTHS))
    for layer in model.layers:
        if isinstance(layer, Excitation):
            # At this width the hidden layer is a single ReLU: keep it from being dead by chance.
            layer.set_weights([np.abs(weight) for weight in layer.get_weights()])
    image = random_pictures(32, 32, count=2)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(model(image, training=True)))
    for variable, gradient in zip(model.trainable_variables, tape.gradient(loss, model.trainable_variables)):
        assert gradient is not None, variable.path
        assert float(tf.reduce_max(tf.abs(gradient))) > 0, variable.path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(skips="some"), "skips must be one of own, all"),
        (dict(norm="instance"), "norm must be one of batch, layer, none"),
        (dict(head="tanh"), "head must be one of residual, sigmoid"),
        (dict(activation="gelu"), "activation must be one of relu, leaky_relu"),
        (dict(widths=(8, 8)), "widths must have five entries"),
        (dict(skips="projected", compress=True), "compress does not go with"),
        (dict(scale=0), "scale must be a positive int"),
        (dict(blocks={"out": 1}), "blocks follow layers among inc, .*up4. Received"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        unet(**arguments)


def test_an_unknown_variant_gets_the_list():
    with pytest.raises(ValueError, match=r"unet, concat, .*Received: variant='resnet'"):
        build("resnet")


@pytest.mark.slow
def test_builds_and_computes_the_same_on_jax(tmp_path):
    model = randomise(unet(skips="all", attention=True, compress=True, widths=SMALL_WIDTHS))
    model.save(tmp_path / "model.keras")
    image = random_pictures(17, 31)
    np.save(tmp_path / "image.npy", image)
    code = (
        "import sys, keras, numpy as np\n"
        "from unet_deblur_tf.models.unet import build\n"
        "assert keras.config.backend() == 'jax'\n"
        "assert 'tensorflow' not in sys.modules\n"
        f"model = keras.saving.load_model({str(tmp_path / 'model.keras')!r})\n"
        f"image = np.load({str(tmp_path / 'image.npy')!r})\n"
        f"np.save({str(tmp_path / 'restored.npy')!r}, model(image))\n"
        "weights = build('concat_reduce_se', norm='batch').trainable_weights\n"
        f"assert sum(int(np.prod(weight.shape)) for weight in weights) == {PARAMETERS['concat_reduce_se']}\n"
    )
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "KERAS_BACKEND": "jax"}, check=True)
    np.testing.assert_allclose(np.load(tmp_path / "restored.npy"), model(image), atol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_multiply_accumulates(variant):
    model = untrained(variant)
    macs = sum(macs_of_pass(trunk_of(model), 224 // 2**halvings) for halvings in range(scales_of(model)))
    assert macs / 1e9 == pytest.approx(GMACS[variant], abs=1e-12 if variant == "unet" else 5e-4)


def macs_of_pass(model, side):
    """The multiply-accumulates of the convolutions for a square picture, followed through the graph."""
    size = {"image": side, "guide": side}  # side of each layer's output
    macs = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        sources = layer.input if isinstance(layer.input, list) else [layer.input]
        side = size[sources[0]._keras_history.operation.name]
        strided = isinstance(layer, keras.layers.Conv2D) and layer.strides == (2, 2)
        if strided or isinstance(layer, keras.layers.MaxPooling2D | keras.layers.AveragePooling2D | PixelUnshuffle):
            side //= 2
        elif isinstance(layer, BilinearUpsampling2D | PixelShuffle):
            side *= 2
        size[layer.name] = side
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            macs += side**2 * int(np.prod(layer.kernel.shape))
    return macs


def test_naf_has_the_published_cost():
    """16 GMACs at 256x256 (Chen et al., "Simple Baselines for Image Restoration", ECCV 2022)."""
    assert macs_of_pass(untrained("naf"), 256) / 1e9 == pytest.approx(16, abs=0.1)
