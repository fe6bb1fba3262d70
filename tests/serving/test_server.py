"""Our client and one that is not ours against a running server: see `conftest.py` for which."""

import io
import json
import subprocess
import sys
import urllib.error
import urllib.request

import keras
import models
import numpy as np
import pytest
from helpers import ROOT, clipped_output, encoded, run_script, run_script_here
from PIL import Image

from unet_deblur_tf.models import layers  # noqa: F401 - registers them for loading

CLIENT = ROOT / "examples/serving_client.py"
PROTOCOLS = ("rest", "grpc")


def client(server, *arguments, protocol="rest", model="small", cwd, run=run_script_here):
    flags = ["--protocol", protocol, "--model", model, "--server", getattr(server, protocol)]
    return run(CLIENT, *arguments, *flags, cwd=cwd)


def restored(server, picture, model="small", version=2):
    """What the network itself makes of it, in Keras."""
    network = keras.saving.load_model(server.models / model / str(version) / "assets.extra/model.keras", compile=False)
    return clipped_output(network, picture[np.newaxis].astype(np.float32) / 255)[0]


def assert_same_levels(file, expected):
    """A PNG is the network's picture, but for roundings at a half that fall the other way."""
    with Image.open(io.BytesIO(file)) as image:
        assert image.format == "PNG"
        answer = np.asarray(image).astype(int)
    difference = np.abs(answer - np.round(expected * 255))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("model", "name", "version"), [("small", "small", 2), ("small/versions/1", "small", 1), ("plain", "plain", 1)]
)
def test_our_client(server, tmp_path, picture, protocol, model, name, version):
    Image.fromarray(picture).save(tmp_path / "blurred.png")
    run = run_script if (name, protocol) == ("plain", "rest") else run_script_here
    done = client(server, "blurred.png", "out.png", protocol=protocol, model=model, cwd=tmp_path, run=run)
    assert done.returncode == 0, done.stderr
    assert_same_levels((tmp_path / "out.png").read_bytes(), restored(server, picture, name, version))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blurred.png", "out.png"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_several_pictures_of_different_sizes_in_one_request(server, picture, protocol):
    sys.path.insert(0, str(CLIENT.parent))
    import serving_client

    pictures = [picture, picture[:33, :70], picture[:96, :1]]
    files = [encoded(each, "PNG") for each in pictures]
    restore = {"rest": serving_client.restore_by_rest, "grpc": serving_client.restore_by_grpc}[protocol]
    for each, answer in zip(pictures, restore(files, getattr(server, protocol), "small", 60), strict=True):
        assert_same_levels(answer, restored(server, each))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_the_client_says_when_it_cannot(server, tmp_path, picture, protocol):
    Image.fromarray(np.resize(picture, (130, 160, 3))).save(tmp_path / "large.png")
    Image.fromarray(picture).save(tmp_path / "good.png")
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "taken.png").touch()
    status = {"rest": "400", "grpc": "INVALID_ARGUMENT"}[protocol]
    for arguments, model, texts in (
        (["text.png", "out.png"], "small", [status, "image_bytes[0] of 13 bytes is not a PNG, JPEG, GIF, BMP or WebP"]),
        (
            ["large.png", "out.png"],
            "small",
            [status, "image_bytes[0] of shape [130 160] has more pixels than the 20000"],
        ),
        (["good.png", "out.png"], "none", [{"rest": "404", "grpc": "NOT_FOUND"}[protocol], "none", "--model takes"]),
        (["good.png", "taken.png"], "small", ["taken.png is there already"]),
        (["good.png", "out.jpg"], "small", ["should end in .png"]),
        (["missing.png", "out.png"], "small", ["missing.png"]),
    ):
        done = client(server, *arguments, protocol=protocol, model=model, cwd=tmp_path)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert "serving_client.py: error: " in done.stderr
        for text in texts:
            assert text in done.stderr
    assert not (tmp_path / "out.png").exists()
    assert (tmp_path / "taken.png").read_bytes() == b""

    flags = ["--protocol", protocol, "--server", "localhost:1"]
    done = run_script_here(CLIENT, "good.png", "out.png", *flags, cwd=tmp_path)
    assert done.returncode == 1
    assert {"rest": "No server answers at localhost:1", "grpc": "localhost:1 cannot be reached"}[
        protocol
    ] in done.stderr


# In a process of its own: it brings its own copy of the server's messages.
THEIRS = """
import sys
import numpy
import ovmsclient
protocol, address, file = sys.argv[1:]
client = {"rest": ovmsclient.make_http_client, "grpc": ovmsclient.make_grpc_client}[protocol](address)
assert client.get_model_status("small", 2)[2]["state"] == "AVAILABLE"
signature = client.get_model_metadata("small", 2)
assert "image" in str(signature) and "restored" in str(signature)
image = numpy.load(file)
numpy.save(file, client.predict({"image": image}, "small", 2, timeout=60))
try:
    client.predict({"image": numpy.zeros((2, 101, 100, 3), numpy.float32)}, "small", 2, timeout=60)
except ovmsclient.tfs_compat.base.errors.ModelServerError as error:
    print(error)
"""


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_ovmsclient(server, tmp_path, picture, protocol):
    pytest.importorskip("ovmsclient")
    picture = picture[:80]
    image = np.stack([picture, picture[::-1]]).astype(np.float32) / 255
    np.save(tmp_path / "image.npy", image)
    command = [sys.executable, "-c", THEIRS, protocol, getattr(server, protocol), tmp_path / "image.npy"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = np.stack([restored(server, picture), restored(server, picture[::-1])])
    np.testing.assert_allclose(np.load(tmp_path / "image.npy"), expected, atol=1e-5)
    assert f"image of shape [2 101 100] has more pixels than the {models.LIMIT}" in done.stdout


def rest(server, path, body=None):
    request = urllib.request.Request(f"http://{server.rest}/v1/models/{path}", body and json.dumps(body).encode())
    try:
        with urllib.request.urlopen(request) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_status_and_metadata(server):
    status, content = rest(server, "small")
    assert status == 200
    assert content["model_version_status"][0]["state"] == "AVAILABLE"
    assert content["model_version_status"][0]["version"] == "2"
    status, content = rest(server, "small/metadata")
    signatures = content["metadata"]["signature_def"]["signature_def"]
    assert status == 200
    assert signatures["serving_default"]["inputs"]["image"]["dtype"] == "DT_FLOAT"
    assert [dim["size"] for dim in signatures["serving_default"]["outputs"]["restored"]["tensor_shape"]["dim"]] == [
        "-1", "-1", "-1", "3",
    ]  # fmt: skip
    assert list(signatures["serving_bytes"]["inputs"]) == ["image_bytes"]
    assert list(signatures["serving_bytes"]["outputs"]) == ["restored_bytes"]


def test_the_forms_of_json(server, picture):
    image = (picture[:16, :18] / 255).round(4)
    expected = restored(server, 255 * image)
    for body, answer in (
        ({"instances": [image.tolist()]}, "predictions"),
        ({"instances": [{"image": image.tolist()}], "signature_name": "serving_default"}, "predictions"),
        ({"inputs": [image.tolist()]}, "outputs"),
        ({"inputs": {"image": [image.tolist()]}}, "outputs"),
    ):
        status, content = rest(server, "small:predict", body)
        assert status == 200, content
        np.testing.assert_allclose(content[answer], expected[np.newaxis], atol=1e-5)


@pytest.mark.parametrize(
    "body",
    [
        {"instances": [[[1, 2], [3, 4]]]},
        {"instances": [{"b64": "AAAA"}], "signature_name": "none"},
        {"inputs": {"pixels": [1]}},
        {"images": []},
        {"instances": []},
        {"instances": 5},
        [],
    ],
)
def test_malformed_requests(server, body):
    status, content = rest(server, "small:predict", body)
    assert status == 400
    assert content["error"]
