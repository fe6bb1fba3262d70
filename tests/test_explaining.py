"""Heat maps against networks whose answer is known, costs against exact counts and keras-flops, and both commands."""

import csv
import functools

import keras
import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf
from helpers import (
    GMACS,
    assert_one_line_error,
    few,
    random_pictures,
    randomise,
    run_script_here,
    save_picture,
    thin,
    untrained,
)
from PIL import Image

from unet_deblur_tf.configs import FIGURE_LAYERS, VARIANTS
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.explaining import explain, keras_flops
from unet_deblur_tf.explaining.cost import figure_costs, figure_layer, layer_costs, total
from unet_deblur_tf.explaining.gradcam import gates, heatmaps, output_layer
from unet_deblur_tf.models.scales import trunk_of
from unet_deblur_tf.models.transforms import scale_of, with_local_pooling, with_size

ATTENTIVE = [name for name, arguments in VARIANTS.items() if arguments.get("attention")]


@keras.saving.register_keras_serializable("tests")
class LeftHalf(keras.layers.Layer):
    """Lets the left half of a picture pass."""

    def call(self, inputs):
        width = tf.shape(inputs)[2]
        return inputs * tf.cast(tf.range(width) < width // 2, inputs.dtype)[:, tf.newaxis]


def chain(*first):
    """A network of the figure's ten layers that puts out what it is given."""
    image = x = keras.Input((None, None, 3))
    for layer in first:
        x = layer(x)
    for name in FIGURE_LAYERS[:-1]:
        x = keras.layers.Activation("linear", name=f"{name}_act2")(x)
    x = keras.layers.Conv2D(3, 1, name="out_conv")(x)
    model = keras.Model(image, x)
    model.get_layer("out_conv").set_weights([np.eye(3).reshape(1, 1, 3, 3), np.zeros(3)])
    return model


def test_grad_cam_where_the_answer_is_known():
    # The mean output rises equally with every channel everywhere, so each map is the sum of the channels.
    picture = random_pictures(48, 32)[0]
    found = heatmaps(chain(), picture, "output")
    expected = picture.sum(axis=2) / picture.sum(axis=2).max()
    assert list(found.maps) == list(FIGURE_LAYERS)
    for name, cam in found.maps.items():
        np.testing.assert_allclose(cam, expected, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(found.restored, picture, atol=1e-6)
    assert found.score == pytest.approx(picture.mean(), abs=1e-6)


def test_the_only_active_region_lights_up():
    found = heatmaps(chain(LeftHalf()), random_pictures(32, 64)[0], "output")
    for cam in found.maps.values():
        assert cam[:, 32:].max() == 0
        assert cam[:, :32].min() >= 0
        assert cam[:, :32].max() == 1


def test_what_lowers_the_score_shows_nowhere():
    # The darker, the less wrong: a black truth, so every feature raises the error; a white one, and none does.
    picture = random_pictures(16, 16)[0] * 0.8 + 0.1
    assert heatmaps(chain(), picture, "error", np.zeros_like(picture)).maps["up1"].max() == 1
    assert heatmaps(chain(), picture, "error", np.ones_like(picture)).maps["up1"].max() == 0


@pytest.mark.parametrize(
    ("variant", "box"),
    [
        ("lite", None),
        *(
            pytest.param(name, None, marks=pytest.mark.slow)
            for name in ("unet", "concat", "concat_se", "concat_reduce", "concat_reduce_se")
        ),
        *(pytest.param(name, (4, 8, 20, 10), marks=pytest.mark.slow) for name in ("unet", "concat_se")),
    ],
)
def test_grad_cam_by_hand(variant, box):
    network = randomise(thin(variant, name=variant))
    picture = random_pictures(64, 96)[0]
    found = heatmaps(network, picture, "correction", box=box)
    x, y, width, height = box or (0, 0, 96, 64)
    for name in FIGURE_LAYERS:
        layer = network.get_layer(output_layer(network, name))
        both = keras.Model(network.input, [layer.output, network.output])
        with tf.GradientTape() as tape:
            features, restored = both(picture[np.newaxis])
            tape.watch(features)
            # Once more from the features on: what the score is as a function of them.
            features, restored = both(picture[np.newaxis])
            score = tf.reduce_mean(tf.abs(restored - picture)[:, y : y + height, x : x + width])
        gradient = tape.gradient(score, features)
        cam = np.maximum((np.asarray(features) * np.mean(gradient, axis=(1, 2), keepdims=True)).sum(axis=-1)[0], 0)
        cam = scipy.ndimage.zoom(cam, 64 / cam.shape[0], order=1)
        np.testing.assert_allclose(found.maps[name], cam / max(cam.max(), 1e-30), atol=2e-3, err_msg=name)
        assert found.score == pytest.approx(float(score), rel=1e-4)


def strides(network):
    """Pixels of the picture per pixel of each layer of the figure."""
    return [*(scale_of(network) * stride for stride in (1, 2, 4, 8, 16, 8, 4, 2, 1)), 1]


@pytest.mark.parametrize("variant", few(VARIANTS, "unet", "concat_se", "lite"))
def test_each_layer_of_the_figure_is_found_at_its_resolution(variant):
    network = trunk_of(untrained(variant))
    sized = with_size(network, 64, 96)
    for name, stride in zip(FIGURE_LAYERS, strides(network)):
        layer = sized.get_layer(output_layer(network, name))
        assert layer.name.startswith(name)
        assert layer.output.shape[1:3] == (64 // stride, 96 // stride)


@pytest.mark.slow
def test_any_size_and_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    network = randomise(thin("concat_se"))
    picture = np.round(random_pictures(37, 51)[0] * 256) / 256  # values that bfloat16 has
    found = heatmaps(network, picture)
    assert all(cam.shape == (37, 51) for cam in found.maps.values())
    assert found.restored.shape == (37, 51, 3)
    # The same weights in float32, and the picture mirrored to a size that needs no padding.
    keras.config.set_dtype_policy("float32")
    exact = thin("concat_se")
    exact.set_weights(network.get_weights())
    padded = np.pad(picture, [(0, 11), (0, 13), (0, 0)], mode="reflect")
    expected = heatmaps(exact, padded, box=(0, 0, 51, 37))
    np.testing.assert_allclose(found.restored, expected.restored[:37, :51], atol=1e-5)
    assert found.score == pytest.approx(expected.score, rel=1e-5)
    assert sum(cam.max() == 1 for cam in found.maps.values()) > 5
    for name, cam in expected.maps.items():
        cam = cam[:37, :51] / max(cam[:37, :51].max(), 1e-30)
        np.testing.assert_allclose(found.maps[name], cam, atol=1e-3, err_msg=name)


@pytest.mark.parametrize("box", [(0, 0, 0, 4), (60, 0, 5, 4), (-1, 0, 4, 4)])
def test_a_box_outside_the_picture(box):
    with pytest.raises(ValueError, match="box must lie inside the picture of 64x48"):
        heatmaps(chain(), random_pictures(48, 64)[0], box=box)


@pytest.mark.parametrize("variant", ATTENTIVE)
@pytest.mark.parametrize("window", few([None, 16], None))
def test_gates(variant, window):
    network = randomise(thin(variant, name=variant))
    picture = random_pictures(48, 64)[0]
    found = gates(with_local_pooling(network, window), picture)
    assert list(found) == [f"up{stage}_se{level}" for stage in (1, 2, 3, 4) for level in (1, 2, 3, 4)]
    level = keras.Model(network.inputs, network.get_layer("down1_act2").output)(picture[np.newaxis])[0]
    squeeze, excite = (np.asarray(weight, float) for weight in network.get_layer("up3_se2").get_weights())
    cells = (
        [level]
        if window is None
        else [level[8 * row : 8 * row + 8, 8 * column : 8 * column + 8] for row in range(3) for column in range(4)]
    )
    means = [np.asarray(cell, float).mean(axis=(0, 1)) for cell in cells]
    gate = np.mean([1 / (1 + np.exp(-np.maximum(mean @ squeeze, 0) @ excite)) for mean in means], axis=0)
    np.testing.assert_allclose(found["up3_se2"], gate, atol=1e-5)


def test_a_network_without_squeeze_and_excitation_has_no_gates():
    assert gates(untrained("unet"), random_pictures(16, 16)[0]) == {}


@functools.cache
def costs_of(variant):
    """The costs at the usual size, computed once."""
    return layer_costs(untrained(variant))


@pytest.mark.parametrize("variant", few(GMACS, "unet", "concat_se", "lite"))
def test_multiply_accumulates_of_the_convolutions(variant):
    costs = costs_of(variant)
    convolutions = sum(cost.macs for cost in costs if cost.kind in ("Conv2D", "DepthwiseConv2D"))
    digits = len(str(GMACS[variant]).partition(".")[2])
    assert round(convolutions / 1e9, digits) == GMACS[variant]


@pytest.mark.parametrize(
    ("variant", "size"),
    [
        pytest.param(
            name, size, marks=() if size == (64, 96) and name in ("unet", "concat_se", "lite") else pytest.mark.slow
        )
        for name in VARIANTS
        for size in ((224, 224), (64, 96))
    ],
)
def test_flops_agree_with_keras_flops(variant, size):
    network = untrained(variant)
    costs = layer_costs(network, *size)
    counted = keras_flops.count(network, *size)
    assert total(costs).flops == pytest.approx(counted, rel=0.01)
    # The difference is resizing, which keras-flops leaves out, and what little it counts otherwise.
    resizing = sum(cost.flops for cost in costs if cost.kind == "BilinearUpsampling2D")
    assert total(costs).flops - resizing == pytest.approx(counted, rel=0.002)


@pytest.mark.parametrize("kernel", [1, 3])
def test_keras_flops_counts_a_convolution_exactly(kernel):
    layer = keras.layers.Conv2D(7, kernel, padding="same", use_bias=False)
    network = keras.Sequential([keras.Input((None, None, 3)), layer])
    assert keras_flops.count(network, 20, 30) == 2 * kernel * kernel * 3 * 7 * 20 * 30


def test_costs_by_hand():
    costs = {cost.layer: cost for cost in layer_costs(untrained("concat_se"), 64, 32)}
    assert costs["down2_conv1"][3:] == (
        (16, 8, 128),
        73_728,
        9_437_184,
        18_874_368,
        65_536,
    )  # 3 x 3 x 64 x 128 x 16 x 8
    assert costs["inc_norm1"][3:] == ((64, 32, 32), 64, 0, 131_072, 262_144)
    assert costs["down1_pool"][3:] == ((32, 16, 32), 0, 0, 65_536, 65_536)
    assert costs["up4_se3"].macs == 2 * 128 * 8
    assert costs["up4_se3"].flops == 4 * 128 * 8 + 8 + 4 * 128 + 64 * 32 * 128
    assert costs["out_conv"][4:7] == (99, 64 * 32 * 32 * 3, 2 * 64 * 32 * 32 * 3 + 64 * 32 * 3)


@pytest.mark.parametrize("variant", few(VARIANTS, "unet", "concat_se", "lite"))
def test_the_ten_layers_add_up(variant):
    network, costs = untrained(variant), costs_of(variant)
    rows = figure_costs(costs)
    assert [row.layer for row in rows] == list(FIGURE_LAYERS)
    assert total(rows)[4:] == total(costs)[4:]
    assert total(rows).parameters == sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)
    assert [row.shape[:2] for row in rows] == [(224 // stride,) * 2 for stride in strides(network)]


def test_the_seeds_finding_down4_and_up1_hold_most_parameters():
    rows = sorted(figure_costs(costs_of("unet")), key=lambda row: row.parameters)
    assert {row.layer for row in rows[-2:]} == {"down4", "up1"}


@pytest.mark.parametrize(
    ("name", "figure"),
    [("pad", "inc"), ("level1_at4", "up1"), ("level4_at1", "up4"), ("level3_squeeze", "down2"), ("up2_se1", "up2")],
)
def test_shared_layers_belong_to_one_of_the_ten(name, figure):
    assert figure_layer(name) == figure


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explain")
    randomise(thin("concat_se", name="concat_se")).save(folder / "model.keras")
    for number, name in enumerate(("blurred.png", "sharp.png")):
        save_picture(folder / name, np.random.default_rng(number).integers(0, 256, (40, 60, 3), np.uint8))
    Image.new("RGB", (30, 30)).save(folder / "other.png")
    return folder


def test_the_heatmaps_command(small, tmp_path):
    command = ["heatmaps", "blurred.png", "--sharp", "sharp.png", "--model", "model.keras", "--box", "5,5,20,20"]
    command += ["--output", str(tmp_path / "maps.png"), "--raw", str(tmp_path / "maps.npz"), "--largest", "48"]
    done = run_script_here("explain.py", *command, cwd=small)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"maps.png", "maps_gates.png", "maps.npz"}
    maps = np.load(tmp_path / "maps.npz")
    assert set(maps) == {*FIGURE_LAYERS, "restored"}
    blurred, sharp = (
        np.asarray(Image.open(small / name).resize((48, 32), Image.Resampling.LANCZOS), np.float32) / 255
        for name in ("blurred.png", "sharp.png")
    )
    # The box of 20 by 20 pixels at (5, 5), where 4 of 5 pixels are left.
    network = keras.saving.load_model(small / "model.keras", compile=False)
    expected = heatmaps(network, blurred, "error", sharp, box=(4, 4, 16, 16))
    np.testing.assert_allclose(maps["restored"], expected.restored, atol=1e-5)
    for name, cam in expected.maps.items():
        np.testing.assert_allclose(maps[name], cam, atol=1e-4, err_msg=name)
    assert maps["up2"].shape == (32, 48)
    assert Image.open(tmp_path / "maps.png").width > 1000
    for missing in ("", "maps.png", "maps_gates.png"):
        # Each of the three is kept, and named before anything is computed.
        if missing:
            (tmp_path / missing).unlink()
        again = run_script_here(
            "explain.py", *command[:-2], "--largest", "48", "--raw", str(tmp_path / "maps"), cwd=small
        )
        assert again.returncode == 2
        kept = {"": "maps.png", "maps.png": "maps_gates.png", "maps_gates.png": "maps.npz"}[missing]
        assert f"{kept} is there already: --overwrite replaces it" in again.stderr.splitlines()[-1]
        assert again.stdout == ""


def test_a_box_of_a_reduced_picture_keeps_a_pixel():
    assert explain._reduced_box((10, 20, 30, 40), (100, 200), (100, 200)) == (10, 20, 30, 40)
    assert explain._reduced_box((10, 20, 30, 40), (100, 200), (50, 100)) == (5, 10, 15, 20)
    assert explain._reduced_box((199, 99, 1, 1), (100, 200), (10, 20)) == (19, 9, 1, 1)
    for box in ((190, 0, 11, 1), (0, 99, 1, 2), (0, 0, 0, 1)):
        with pytest.raises(InputError, match="inside the picture of 200x100"):
            explain._reduced_box(box, (100, 200), (10, 20))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["heatmaps", "none.png", "--model", "model.keras"], "none.png cannot be read"),
        (["heatmaps", "blurred.png", "--model", "none"], "No such model: none"),
        (["heatmaps", "blurred.png", "--model", "model.keras", "--score", "error"], "needs a sharp picture"),
        (["heatmaps", "blurred.png", "--model", "model.keras", "--sharp", "other.png"], "differ in size"),
        (["heatmaps", "blurred.png", "--model", "model.keras", "--box", "1,2,3"], "four whole numbers"),
        (["heatmaps", "blurred.png", "--model", "model.keras", "--box", "50,0,20,20"], "box must lie inside"),
        (["heatmaps", "blurred.png", "--model", "model.keras", "--output", "."], "take the name of a file, not '.'"),
        (
            ["heatmaps", "blurred.png", "--model", "model.keras", "--output", "blurred.png", "--overwrite"],
            "blurred.png is what is to be explained: choose another --output",
        ),
        (["cost", "--size", "0x10"], "argument --size: must be WIDTHxHEIGHT"),
    ],
)
def test_bad_input_ends_in_one_line(small, arguments, message):
    assert_one_line_error(run_script_here("explain.py", *arguments, cwd=small), message)


def test_the_cost_command(tmp_path):
    done = run_script_here(
        "explain.py", "cost", "--variant", "concat", "--size", "96x64", "--output", "costs", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "costs/cost_concat_96x64.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["layer"] for row in rows] == list(FIGURE_LAYERS)
    assert sum(int(row["parameters"]) for row in rows) == 5_608_707
    assert Image.open(tmp_path / "costs/cost_concat_96x64.png").height > 300
    assert "depends on at most 144 pixels around it." in done.stdout
    done = run_script_here("explain.py", "cost", "--variant", "lite", "--size", "32x32", cwd=tmp_path)
    assert "depends on at most 288 pixels around it." in done.stdout


@pytest.mark.slow
@pytest.mark.slow
def test_the_cost_of_a_picture_for_which_tensorflow_does_not_count(tmp_path):
    done = run_script_here("explain.py", "cost", "--variant", "lite", "--size", "65535x65535", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "keras-flops" not in done.stdout
    assert "An output pixel depends on" in done.stdout


@pytest.mark.slow
def test_the_cost_command_with_all_variants(tmp_path):
    done = run_script_here("explain.py", "cost", "--variant", "all", "--size", "32x32", cwd=tmp_path)
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[0] for row in rows if row and row[0] in VARIANTS] == list(VARIANTS)
    assert "4,318,467" in done.stdout
