"""Checks exported models under older TensorFlow versions, since servers lag behind.

python tests/serving/versions.py                          a small model of each variant, every version below
python tests/serving/versions.py saved_models/concat_se/1 --versions 2.17.1

Each version goes into a virtual environment of its own, from the package index, which is
removed afterwards. There the model is loaded into a TF1 session, as the server does, and
both signatures are run; the results must be those of this environment.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile
import venv

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

VERSIONS = ("2.16.2", "2.17.1", "2.19.1", "2.20.0")

# Runs there, where nothing of this project is installed.
CHECK = """
import os, sys, time
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import tensorflow as tf
given = np.load(sys.argv[1])
for folder in sys.argv[2:]:
    begun = time.perf_counter()
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        meta = tf.compat.v1.saved_model.loader.load(session, ["serve"], folder)
        def run(signature, value):
            signature = meta.signature_def[signature]
            (source,), (target,) = signature.inputs.values(), signature.outputs.values()
            return session.run(target.name, {source.name: value})
        restored = run("serving_default", given["image"])
        files = run("serving_bytes", [given[name].tobytes() for name in ("png", "jpeg")])
        try:
            run("serving_bytes", [b"not a picture"])
            raise SystemExit("what is no picture was taken")
        except tf.errors.InvalidArgumentError as error:
            assert "is not a PNG, JPEG, GIF, BMP or WebP file" in str(error), error
    name = f"expected {folder}"
    difference = np.abs(restored - given[name]).max()
    assert difference < 1e-4, f"{folder}: differs by {difference}"
    for index, file in enumerate(files):
        levels = np.abs(tf.io.decode_png(file).numpy().astype(int) - given[f"{index} {name}"])
        # A JPEG's decoder may round otherwise in another version.
        assert levels.max() <= 2 and levels.mean() < 0.1, f"{folder}: file {index} differs by {levels.max()} levels"
    print(f"{tf.__version__}  {folder}  differs by {difference:.1e}, {time.perf_counter() - begun:.1f} s", flush=True)
"""


def reference(folders, path):
    """What this environment makes of a picture, as files and as a tensor, by every model."""
    import numpy as np
    import tensorflow as tf
    from helpers import encoded

    picture = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8).repeat(3, 0).repeat(3, 1)[:, :45]
    given = {"image": picture[np.newaxis].astype(np.float32) / 255}
    files = []
    for kind in ("png", "jpeg"):
        files.append(encoded(picture, kind))
        given[kind] = np.frombuffer(files[-1], np.uint8)
    for folder in folders:
        signatures = tf.saved_model.load(str(folder)).signatures
        given[f"expected {folder}"] = signatures["serving_default"](image=given["image"])["restored"].numpy()
        restored = signatures["serving_bytes"](image_bytes=tf.constant(files))["restored_bytes"]
        for index, file in enumerate(restored.numpy()):
            given[f"{index} expected {folder}"] = tf.io.decode_png(file).numpy()
    np.savez(path, **given)


def check(version, folders, given):
    """Runs `CHECK` under tensorflow-cpu of that version; returns its process, with its output as text."""
    with tempfile.TemporaryDirectory() as environment:
        venv.create(environment, with_pip=True)
        python = pathlib.Path(environment) / "bin/python"
        install = [python, "-m", "pip", "install", "--quiet", "--no-cache-dir", f"tensorflow-cpu=={version}"]
        done = subprocess.run(install, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            command = [python, "-c", CHECK, given, *folders]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done


def small_models(folder):
    """One small model of each variant, and one that was trained in bfloat16; returns their version folders."""
    import keras
    from helpers import SMALL_WIDTHS, randomise, thin

    from unet_deblur_tf.configs import VARIANTS
    from unet_deblur_tf.exporting.saved_model import publish
    from unet_deblur_tf.models.transforms import with_local_pooling
    from unet_deblur_tf.models.unet import unet

    networks = {name: randomise(thin(name)) for name in VARIANTS}
    networks["local"] = with_local_pooling(networks["concat_reduce_se"], 32)
    keras.config.set_dtype_policy("mixed_bfloat16")
    networks["bfloat16"] = randomise(unet(norm="layer", activation="leaky_relu", widths=SMALL_WIDTHS))
    keras.config.set_dtype_policy("float32")
    return [publish(network, folder / name) for name, network in networks.items()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=pathlib.Path, metavar="SAVEDMODEL")
    parser.add_argument("--versions", nargs="+", default=VERSIONS, help="default: %(default)s")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        folders = arguments.folders or small_models(pathlib.Path(work))
        given = pathlib.Path(work) / "given.npz"
        reference(folders, given)
        failed = False
        for version in arguments.versions:
            done = check(version, folders, given)
            print(done.stdout, end="", flush=True)
            if done.returncode:
                print(f"{version}  FAILED: {done.stderr.strip().splitlines()[-1:]}")
                failed = True
    sys.exit(failed)


if __name__ == "__main__":
    main()
