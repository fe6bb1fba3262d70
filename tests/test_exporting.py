"""`export.py`, and that other runtimes compute from its files what Keras computes."""

import re
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from helpers import SMALL_WIDTHS, clipped_output, few, random_pictures, randomise, run_script, run_script_here, thin

from unet_deblur_tf.configs import VARIANTS
from unet_deblur_tf.data.synthesis.scenes import scene
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.exporting import openvino_files, saved_model, server_files
from unet_deblur_tf.exporting.export import export_network
from unet_deblur_tf.exporting.onnx_litert import export_litert, export_onnx
from unet_deblur_tf.exporting.openvino_files import export_openvino
from unet_deblur_tf.exporting.server_files import KEPT, write_configs
from unet_deblur_tf.models import finding, pretrained
from unet_deblur_tf.models.loading import at_chosen_scales, load_network
from unet_deblur_tf.models.scales import at_scales, scales_of, trunk_of
from unet_deblur_tf.models.transforms import with_local_pooling
from unet_deblur_tf.models.unet import unet


@pytest.fixture(params=few([*VARIANTS, "concat_se, local", "concat_reduce_se, local"], "lite"))
def network(request, faster_forms):
    variant, _, pooling = request.param.partition(", ")
    network = randomise(thin(variant, name=variant))
    return with_local_pooling(network, 32) if pooling else network


def test_onnx_takes_any_size(network, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    export_onnx(network, tmp_path / "network.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx")
    assert [(each.name, each.shape) for each in session.get_inputs()] == [("image", ["batch", "height", "width", 3])]
    assert [(each.name, each.shape) for each in session.get_outputs()] == [
        ("restored", ["batch", "height", "width", 3])
    ]
    for size in ((33, 20), (64, 80), (1, 7), (130, 17)):
        image = 1.4 * random_pictures(*size, count=2) - 0.2  # some of it leaves 0..1
        (restored,) = session.run(["restored"], {"image": image})
        np.testing.assert_allclose(restored, clipped_output(network, image), atol=1e-4)
    assert [path.name for path in tmp_path.iterdir()] == ["network.onnx"]


@pytest.mark.slow
def test_half_weights_halve_the_file_and_hardly_change_the_picture(tmp_path, picture):
    onnxruntime = pytest.importorskip("onnxruntime")
    blurred = np.mean([np.roll(picture, shift, axis=1) for shift in range(9)], axis=0)
    image = blurred[np.newaxis].astype(np.float32) / 255
    sizes, results = [], []
    for half in (False, True):
        path = tmp_path / "lite.onnx"
        export_network("lite", format="onnx", output=path, scales=1, overwrite=half, half_weights=half)
        sizes.append(path.stat().st_size)
        results.append(onnxruntime.InferenceSession(path).run(None, {"image": image})[0])
    assert 0.5 < sizes[1] / sizes[0] < 0.53
    difference = 255 * np.abs(results[1] - results[0])
    assert 0 < difference.max() < 1
    assert difference.mean() < 0.1
    assert 255 * np.abs(results[0] - image).mean() > 1  # the blur was reduced


def test_weights_that_float16_cannot_hold_stay(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    network = randomise(unet(widths=SMALL_WIDTHS))
    layer = network.get_layer("down2_conv1")
    layer.set_weights([layer.get_weights()[0] * 1e6, *layer.get_weights()[1:]])
    export_onnx(network, tmp_path / "network.onnx", half_weights=True)
    image = random_pictures(24, 24)
    (restored,) = onnxruntime.InferenceSession(tmp_path / "network.onnx").run(None, {"image": image})
    assert np.isfinite(restored).all()


def test_an_output_for_blending_is_not_clipped(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    network = randomise(unet(widths=SMALL_WIDTHS))
    export_onnx(network, tmp_path / "network.onnx", clip=False)
    image = 1.4 * random_pictures(24, 24) - 0.2
    (restored,) = onnxruntime.InferenceSession(tmp_path / "network.onnx").run(["restored"], {"image": image})
    np.testing.assert_allclose(restored, network(image), atol=1e-4)
    assert restored.min() < 0 < 1 < restored.max()


@pytest.mark.slow
def test_litert_takes_its_size(network, tmp_path):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    export_litert(network, tmp_path / "network.tflite", 40, 61)
    restore = interpreter.Interpreter(str(tmp_path / "network.tflite")).get_signature_runner()
    image = 1.4 * random_pictures(40, 61) - 0.2
    np.testing.assert_allclose(restore(image=image)["restored"], clipped_output(network, image), atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("source", ["savedmodel", "onnx"])
def test_openvino_reads_them(source, tmp_path):
    openvino = pytest.importorskip("openvino")
    network = randomise(thin("concat_se"))
    if source == "onnx":
        export_onnx(network, tmp_path / "network.onnx")
        model = openvino.convert_model(tmp_path / "network.onnx")
    else:
        saved_model.export(network, tmp_path / "1")
        # It knows neither the limit's operations nor string tensors.
        model = openvino.convert_model(tmp_path / "1")

    def check(height, width):
        compiled = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        image = random_pictures(height, width)
        np.testing.assert_allclose(compiled({"image": image})["restored"], clipped_output(network, image), atol=1e-4)

    check(33, 20)
    check(64, 80)
    model.reshape([1, 33, 20, 3])  # OpenVINO then works out the padding beforehand
    check(33, 20)


def in_openvino(path):
    """The function of a file: float32 `(batch, height, width, 3)` in and out."""
    openvino = pytest.importorskip("openvino")
    network = openvino.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda image: network({"image": image})["restored"]


def test_openvino_files_take_any_size(network, tmp_path):
    pytest.importorskip("openvino")
    assert export_openvino(network, tmp_path / "network.xml") == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["network.bin", "network.xml"]
    for size in ((33, 20), (64, 80), (1, 7)):
        image = 1.4 * random_pictures(*size, count=2) - 0.2  # some of it leaves 0..1
        restored = in_openvino(tmp_path / "network.xml")(image)
        np.testing.assert_allclose(restored, clipped_output(network, image), atol=1e-4)


@pytest.mark.slow
def test_half_weights_in_openvino(tmp_path):
    pytest.importorskip("openvino")
    network, image = randomise(thin("unet")), random_pictures(24, 40)
    sizes = []
    for half in (False, True):
        export_openvino(network, tmp_path / "network.xml", half_weights=half)
        sizes.append((tmp_path / "network.bin").stat().st_size)
    assert 0.5 <= sizes[1] / sizes[0] < 0.6
    np.testing.assert_allclose(in_openvino(tmp_path / "network.xml")(image), clipped_output(network, image), atol=1e-2)


@pytest.mark.slow
def test_what_is_in_eight_bits(tmp_path, monkeypatch, capsys):
    """The inputs and kernels of all convolutions but the first and the last, at both scales; nothing else has kernels.

    NNCF keeps kernels as integers, and OpenVINO converts them.
    """
    openvino = pytest.importorskip("openvino")
    pytest.importorskip("nncf")
    monkeypatch.setattr(openvino_files, "CALIBRATION", 3)
    monkeypatch.setattr(openvino_files, "CHECKED", 2)
    monkeypatch.setattr(openvino_files, "MOST_LOST", 100)  # of random weights it can be anything
    network = at_scales(randomise(thin("lite", norm="none")), 2)
    (line,) = export_openvino(network, tmp_path / "network.xml", int8=True)
    assert re.fullmatch(r"In 8 bits +[+-]\d+.\d\d dB on 2 blurred scenes, in float32 [+-]\d+.\d\d dB", line)
    assert capsys.readouterr().out == ""
    operations = openvino.Core().read_model(tmp_path / "network.xml").get_ops()
    quantised = [each.get_friendly_name() for each in operations if each.get_type_name() == "FakeQuantize"]
    assert any("/inc_act1" in name for name in quantised)
    assert not [name for name in quantised if "image" in name or "/out_" in name]
    in_float32 = []
    for convolution in (each for each in operations if each.get_type_name() == "Convolution"):
        kernel, types = convolution.input_value(1).get_node(), set()
        while kernel.get_input_size():  # through the conversion to its constant
            kernel = kernel.input_value(0).get_node()
            types.add(kernel.get_element_type().get_type_name())
        if "i8" not in types:
            in_float32.append(convolution.get_friendly_name())
    assert len(in_float32) == 4
    for layer in ("inc_conv1", "out_conv"):
        assert len([name for name in in_float32 if f"/{layer}" in name]) == 2


def test_eight_bits_are_refused_where_they_cost_too_much(tmp_path, monkeypatch):
    pytest.importorskip("nncf")
    gains = iter([2.0, 1.89])
    monkeypatch.setattr(openvino_files, "_quantise", lambda nncf, network, trunk: network)
    monkeypatch.setattr(openvino_files, "_gain", lambda openvino, network: next(gains))
    with pytest.raises(InputError, match=r"In 8 bits unet gains \+1.89 dB on 16 blurred scenes, in float32 \+2.00 dB"):
        export_openvino(thin("unet"), tmp_path / "network.xml", int8=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_lite_restores_in_eight_bits(tmp_path):
    """As it does in Keras, but for a twentieth of a decibel, and without a word to NNCF's authors."""
    pytest.importorskip("nncf")
    code = (
        "import sys\n"
        "from unet_deblur_tf.exporting.export import export_network\n"
        "export_network('lite', format='openvino', int8=True, output=sys.argv[1])\n"
        "from nncf.telemetry import telemetry\n"
        "assert type(telemetry).__name__ == 'MagicMock', telemetry\n"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "lite.xml"], check=True)
    restore, network = in_openvino(tmp_path / "lite.xml"), pretrained_at_its_scales("lite")
    rng = np.random.default_rng(5)
    gains = []
    for _ in range(6):
        sharp = np.float32(scene(rng, 192, 256))
        blurred = np.mean([np.roll(sharp, shift, axis=1) for shift in range(-4, 5)], axis=0)[np.newaxis]
        errors = [np.mean((each - sharp) ** 2) for each in (clipped_output(network, blurred), restore(blurred))]
        gains.append(10 * np.log10(np.mean((blurred - sharp) ** 2) / errors))
    in_float32, in_int8 = np.mean(gains, axis=0)
    assert in_float32 > 1
    assert in_int8 == pytest.approx(in_float32, abs=0.15)


def pretrained_at_its_scales(name):
    return at_chosen_scales(load_network(finding.find_newest(name)), None)


@pytest.mark.slow
def test_unet_is_not_quantised(tmp_path):
    pytest.importorskip("nncf")
    with pytest.raises(InputError, match=r"In 8 bits unet gains"):
        export_network("unet", format="openvino", int8=True, output=tmp_path / "unet.xml")
    assert list(tmp_path.iterdir()) == []


def test_what_quantises_is_named_where_it_is_missing(tmp_path, monkeypatch):
    pytest.importorskip("openvino")
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(InputError, match=r'OpenVINO files need nncf: pip install "unet_deblur_tf\[int8\]"'):
        export_openvino(thin("unet"), tmp_path / "network.xml", int8=True)


@pytest.mark.parametrize("precision", few(["mixed_bfloat16", "mixed_float16"], "mixed_float16"))
def test_mixed_precision_leaves_as_float32(precision, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    keras.config.set_dtype_policy(precision)
    mixed = randomise(unet(widths=SMALL_WIDTHS))
    keras.config.set_dtype_policy("float32")
    network = unet(widths=SMALL_WIDTHS)
    network.set_weights(mixed.get_weights())
    export_onnx(mixed, tmp_path / "network.onnx")
    image = random_pictures(24, 24)
    (restored,) = onnxruntime.InferenceSession(tmp_path / "network.onnx").run(None, {"image": image})
    np.testing.assert_allclose(restored, clipped_output(network, image), atol=1e-4)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A model base path with one version, as training leaves it."""
    base = tmp_path_factory.mktemp("saved_models") / "tiny"
    network = randomise(unet(widths=(4, 4, 4, 4, 4), name="tiny"))
    base.mkdir()
    network.save(base / "model.keras")
    (base / "run.json").write_text('{"settings": {"crop": 64}}')
    saved_model.publish(network, base, {name: base / name for name in ("model.keras", "run.json")}, warmup_sizes=())
    return base


@pytest.mark.slow
def test_the_command(base, tmp_path):
    shutil.copytree(base, tmp_path / "saved_models/tiny")
    done = run_script("export.py", "--max-pixels", "999", "--warmup", "30x20", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert finding.versions(tmp_path / "saved_models/tiny") == [1, 2]
    extra = tmp_path / "saved_models/tiny/2/assets.extra"
    assert {path.name for path in extra.iterdir()} == {"model.keras", "run.json", server_files.FILE}
    assert (extra / "model.keras").read_bytes() == (base / "model.keras").read_bytes()
    assert "saved_models/tiny/2/" in done.stdout
    done = run_script_here("export.py", "--format", "onnx", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    onnx = tmp_path / "saved_models/tiny/tiny.onnx"
    assert onnx.stat().st_size > 10_000
    image = random_pictures(20, 30)
    (restored,) = pytest.importorskip("onnxruntime").InferenceSession(onnx).run(None, {"image": image})
    network = at_chosen_scales(keras.saving.load_model(base / "model.keras", compile=False))
    np.testing.assert_allclose(restored, clipped_output(network, image), atol=1e-4)
    assert np.abs(restored - image).mean() > 0.05
    done = run_script_here("export.py", "--format", "onnx", cwd=tmp_path)
    assert done.returncode == 2
    assert "tiny.onnx is there already: --overwrite" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(model="none.keras"), "No such model: none.keras"),
        (dict(model=""), "No such model: a name is missing"),
        (dict(format="litert"), "needs --size"),
        (dict(size=(20, 30)), "--size is for --format litert, not savedmodel"),
        (dict(format="onnx", max_pixels=5), "--max-pixels is for --format savedmodel, not onnx"),
        (dict(format="onnx", warmup_sizes=[]), "--warmup is for"),
        (dict(format="onnx", precision="mixed_bfloat16"), "--precision is for --format savedmodel, not onnx"),
        (dict(half_weights=True), "--half-weights is for --format onnx or openvino, not savedmodel"),
        (dict(int8=True, format="onnx"), "--int8 is for --format openvino, not onnx"),
        (dict(format="onnx", output="network.tflite"), "must end in .onnx"),
        (dict(format="onnx", output="."), "must end in .onnx"),
        (dict(warmup_sizes=[(2000, 3000)]), "--warmup 3000x2000 has more pixels than the 2304000"),
    ],
)
def test_what_does_not_go_together(base, options, message):
    with pytest.raises(InputError, match=message):
        export_network(**{"model": str(base), **options})
    assert finding.versions(base) == [1]


@pytest.mark.parametrize("format", few(["savedmodel", "onnx"], "savedmodel"))
def test_a_file_alone_is_exported_to_where_models_are(base, tmp_path, monkeypatch, format):
    """Not into whatever folder somebody put it in, nor beside that."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    shutil.copy(base / "model.keras", "home/net.keras")
    export_network(model="home/net.keras", format=format, scales=1)
    made = {"savedmodel": "saved_models/net/1/saved_model.pb", "onnx": "saved_models/net/net.onnx"}[format]
    assert (tmp_path / made).is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "saved_models"]
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["net.keras"]


@pytest.mark.slow
def test_another_pooling_is_in_both_forms(tmp_path):
    """What `deblur.py` finds inside a version restores as the version does."""
    base = tmp_path / "saved_models/net"
    base.mkdir(parents=True)
    randomise(thin("concat_se", name="net")).save(base / "model.keras")
    (base / "run.json").write_text('{"settings": {"crop": 32}}')
    export_network(model=str(base / "model.keras"), pooling="local", warmup_sizes=())
    assert finding.versions(base) == [1]
    image = random_pictures(96, 80)
    inside, given = (
        keras.saving.load_model(path, compile=False)
        for path in (base / "1/assets.extra/model.keras", base / "model.keras")
    )
    restored = tf.saved_model.load(str(base / "1")).signatures["serving_default"](image=image)["restored"]
    np.testing.assert_allclose(restored, clipped_output(inside, image), atol=1e-5)
    assert np.abs(restored - clipped_output(given, image)).max() > 1e-4
    # Named by that file, the next version still lands beside the first.
    export_network(model=str(base / "1/assets.extra/model.keras"), warmup_sizes=())
    assert finding.versions(base) == [1, 2]
    assert sorted(path.name for path in base.parent.iterdir()) == [
        "batching.config", "models.config", "monitoring.config", "net",
    ]  # fmt: skip


@pytest.mark.slow
def test_another_precision_is_in_both_forms(base, tmp_path):
    export_network(model=str(base), output=str(tmp_path / "net"), precision="mixed_bfloat16", warmup_sizes=())
    inside = keras.saving.load_model(tmp_path / "net/1/assets.extra/model.keras", compile=False)
    assert trunk_of(inside).get_layer("inc_conv1").compute_dtype == "bfloat16"
    signature = tf.saved_model.load(str(tmp_path / "net/1")).signatures["serving_default"]
    image = random_pictures(40, 56)
    restored = signature(image=image)["restored"]
    assert restored.dtype == tf.float32
    # Rounded in another order; both as far from float32 as bfloat16 is.
    np.testing.assert_allclose(restored, clipped_output(inside, image), atol=0.05)
    exact = clipped_output(at_chosen_scales(keras.saving.load_model(base / "model.keras", compile=False)), image)
    assert 1e-4 < np.abs(restored - exact).max() < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("scales", [1, 3])
def test_other_scales_are_in_both_forms(base, tmp_path, scales):
    export_network(model=str(base), output=str(tmp_path / "net"), scales=scales, warmup_sizes=())
    inside = keras.saving.load_model(tmp_path / "net/1/assets.extra/model.keras", compile=False)
    assert scales_of(at_chosen_scales(inside)) == scales
    given = trunk_of(keras.saving.load_model(base / "model.keras", compile=False))
    image = random_pictures(40, 56)
    restored = tf.saved_model.load(str(tmp_path / "net/1")).signatures["serving_default"](image=image)["restored"]
    np.testing.assert_allclose(restored, clipped_output(inside, image), atol=1e-5)
    np.testing.assert_allclose(restored, clipped_output(at_scales(given, scales), image), atol=1e-5)


def test_a_model_put_elsewhere_leaves_nothing_beside_it(base, tmp_path):
    export_network(model=str(base), output=str(tmp_path / "there/net"), warmup_sizes=())
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["net"]


def test_the_packages_own_network_is_exported_to_where_ones_own_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(pretrained.FOLDER.parent.rglob("*"))
    export_network(model="lite", warmup_sizes=())
    assert finding.versions(tmp_path / "saved_models/lite") == [1]
    inside = tmp_path / "saved_models/lite/1/assets.extra/model.keras"
    assert inside.read_bytes() == pretrained.find("lite").read_bytes()
    assert (tmp_path / "saved_models/models.config").exists()
    assert sorted(pretrained.FOLDER.parent.rglob("*")) == before


def test_export_takes_what_was_trained_here_and_says_so(trained_here):
    onnxruntime = pytest.importorskip("onnxruntime")
    done = run_script_here("export.py", "--format", "onnx", cwd=trained_here)
    assert done.returncode == 0, done.stderr
    assert re.search(r"/saved_models/inverter/inverter\.onnx .*, inverter\)$", done.stdout, re.MULTILINE)
    assert re.search(r"^Network +saved_models/inverter/1$", done.stdout, re.MULTILINE)
    image = random_pictures(5, 7)
    (restored,) = onnxruntime.InferenceSession(trained_here / "saved_models/inverter/inverter.onnx").run(
        None, {"image": image}
    )
    np.testing.assert_allclose(restored, 1 - image, atol=1e-6)
    done = run_script_here("export.py", "--warmup", cwd=trained_here)
    assert done.returncode == 0, done.stderr
    assert "saved_models/inverter/2/" in done.stdout


@pytest.mark.slow
def test_export_takes_the_packages_network_where_nothing_was_trained(tmp_path):
    pytest.importorskip("onnxruntime")
    done = run_script_here("export.py", "--format", "onnx", "--scales", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    default = pretrained.manifest()["default"]
    assert re.search(rf"^saved_models/{default}/{default}\.onnx .*, {default}\)$", done.stdout, re.MULTILINE)
    assert re.search(rf"^Network +{re.escape(str(pretrained.find()))}$", done.stdout, re.MULTILINE)


def test_a_foreign_saved_model_cannot_be_exported(base, tmp_path):
    shutil.copytree(base / "1", tmp_path / "1", ignore=shutil.ignore_patterns("model.keras"))
    with pytest.raises(InputError, match="without the model"):
        export_network(model=str(tmp_path / "1"))


def test_warmup_requests_run(base, tmp_path):
    prediction_log_pb2 = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    server_files.write_requests(tmp_path / "requests", [(20, 36), (32, 16)])
    assert (tmp_path / "requests").stat().st_size < 2_000
    signatures = tf.saved_model.load(str(base / "1")).signatures
    shapes = []
    for record in tf.data.TFRecordDataset(str(tmp_path / "requests")):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        inputs = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
        (answer,) = signatures[request.model_spec.signature_name](**inputs).values()
        shapes.append(answer.shape if answer.dtype == tf.float32 else tf.io.decode_png(answer[0]).shape)
    assert shapes == [(1, 20, 36, 3), (20, 36, 3), (1, 32, 16, 3), (32, 16, 3)]


@pytest.mark.slow
def test_usual_warmup_requests_stay_below_the_limit(base, tmp_path):
    network = keras.saving.load_model(base / "model.keras")
    for limit, there in ((1280 * 720, True), (1280 * 720 - 1, False)):
        folder = saved_model.publish(network, tmp_path / "net", max_pixels=limit)
        assert (folder / "assets.extra" / server_files.FILE).exists() == (there and server_files.available())


def test_models_config_is_what_the_server_reads(base):
    model_server_config_pb2 = pytest.importorskip("tensorflow_serving.config.model_server_config_pb2")
    folder = base.parent
    write_configs(folder)
    models = text_format.Parse((folder / "models.config").read_text(), model_server_config_pb2.ModelServerConfig())
    (model,) = models.model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == ("tiny", "/models/tiny", "tensorflow")


def test_configs_that_people_changed_stay(base, tmp_path):
    shutil.copytree(base, tmp_path / "a")
    write_configs(tmp_path)
    for name in ("monitoring.config", "batching.config"):
        (tmp_path / name).write_text("changed")
    shutil.copytree(base, tmp_path / "b")
    (tmp_path / "no model").mkdir()
    shutil.copytree(base, tmp_path / 'q"uoted')
    write_configs(tmp_path)
    assert (tmp_path / "monitoring.config").read_text() == (tmp_path / "batching.config").read_text() == "changed"
    text = (tmp_path / "models.config").read_text()
    assert [line.split('"')[1] for line in text.splitlines() if "name:" in line] == ["a", "b", "q\\"]
    (tmp_path / "models.config").write_text(text.removeprefix(KEPT))
    shutil.rmtree(tmp_path / "b")
    write_configs(tmp_path)
    assert '"b"' in (tmp_path / "models.config").read_text()
