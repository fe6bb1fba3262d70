"""Runs a network in ONNX Runtime or OpenVINO, from ONNX files in the user's cache folder.

If they are missing or damaged, a process of its own makes them, see `conversion`. This one imports neither Keras nor
TensorFlow.
"""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
from filelock import FileLock

from unet_deblur_tf.errors import InputError
from unet_deblur_tf.models import pretrained
from unet_deblur_tf.models.finding import keras_file
from unet_deblur_tf.restoring.runtimes import OutOfMemory
from unet_deblur_tf.restoring.runtimes.facts import Facts
from unet_deblur_tf.utils.files import default_cache, remove_stale

PACKAGE = Path(__file__).parents[2]
CODE = ("acceleration", "exporting", "models", "restoring/runtimes")  # decides how networks are converted
MANIFEST = "sha256.json"
UNUSED = 30 * 24 * 3600  # seconds after which the files of older networks and versions are removed


class ConvertedNetwork:
    """A network in ONNX Runtime or OpenVINO: see `runtimes.open_network`.

    Args:
        path: `Path` of the network, as `finding.find_model` returns it.
        pooling, scales: see `RestoringOptions`.
        runtime: "onnxruntime" or "openvino".
        progress: bool, whether to say on standard error that the network is converted.

    Raises:
        InputError: see `runtimes.open_network`.
    """

    def __init__(self, path: Path, pooling: str, scales: int | None, runtime: str, progress: bool = False):
        self.runtime = runtime
        source = keras_file(path)
        pretrained.check(source)
        self._arguments = [str(source.resolve()), pooling, json.dumps(scales)]
        self._folder = default_cache() / "networks" / _key(source, pooling, scales)
        self._message = f"Converting {source.name} for {runtime}, once ..." if progress else ""
        self._converted = {}  # bytes by file name, of what this process had to convert
        facts = json.loads(self._read("facts.json"))
        self.facts = Facts(**{**facts, "squeezes": tuple(map(tuple, facts["squeezes"]))})

    def part(self, name: str) -> Callable[..., list[np.ndarray]]:
        """A part of the network as a function."""
        return LOADERS[self.runtime](self._read(f"{name}.onnx"))

    def _read(self, name):
        """The bytes of a file, from the cache folder if it is there and whole."""
        contents = self._kept(name)
        if contents is None:
            with _locked(self._folder.with_suffix(".lock")):
                contents = self._kept(name)  # another process may have converted the network meanwhile
                if contents is None:
                    self._convert()
                    contents = self._converted[name]
        return contents

    def _kept(self, name):
        """The bytes of a file that was converted before; None if it is missing or damaged."""
        if name in self._converted:
            return self._converted[name]
        try:
            contents = (self._folder / name).read_bytes()
            if json.loads((self._folder / MANIFEST).read_text())[name] == _digest(contents):
                with contextlib.suppress(OSError):  # of a cache that can only be read
                    os.utime(self._folder)
                return contents
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return None

    def _convert(self):
        """Makes all files, and keeps them if the cache folder can be written to."""
        if self._message:
            print(self._message, file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            _convert_in_own_process(*self._arguments, folder)
            self._converted = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
        manifest = {name: _digest(contents) for name, contents in self._converted.items()}
        partial = self._folder.with_name(f".{self._folder.name}.partial-{os.getpid()}")
        try:
            partial.mkdir(parents=True)
            for name, contents in {**self._converted, MANIFEST: json.dumps(manifest).encode()}.items():
                (partial / name).write_bytes(contents)
            shutil.rmtree(self._folder, ignore_errors=True)
            partial.rename(self._folder)
            remove_stale(self._folder.parent, "*", UNUSED)
        except OSError:
            # The folder cannot be written to, or the disk is full. The files are in memory, so this process has them.
            shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def _locked(path):
    """Within the block, other processes wait, if the folder can be written to."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(path))
        yield


def _convert_in_own_process(*arguments):
    """Runs `conversion`, in whose memory Keras and TensorFlow end with it."""
    # -P: nothing is imported from the working folder, which can hold anything.
    command = [sys.executable, "-P", "-m", "unet_deblur_tf.restoring.runtimes.conversion", *arguments]
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PACKAGE.parent), environment.get("PYTHONPATH")]))
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"]
        raise InputError(f"{arguments[0]} cannot be converted: {lines[-1]}. --runtime tensorflow runs it as it is")


def _key(source, pooling, scales):
    """Names what the converted files depend on: the network, the options, our code and the versions of the packages."""
    digest = hashlib.sha256(source.read_bytes())
    for path in sorted(path for folder in CODE for path in (PACKAGE / folder).glob("*.py")):
        digest.update(path.read_bytes())
    run = source.with_name("run.json")  # has the training crop, for local pooling
    versions = [f"{name} {version(name)}" for name in ("tensorflow", "keras", "tf2onnx")]
    digest.update(json.dumps([pooling, scales, run.read_text() if run.exists() else None, versions]).encode())
    return digest.hexdigest()[:32]


def _digest(contents):
    return hashlib.sha256(contents).hexdigest()


def _load_in_onnxruntime(contents):
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # or ONNX Runtime 1.32 reports its use to its authors
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.enable_mem_pattern = False  # a plan per size of picture, which takes a quarter more memory
    session = onnxruntime.InferenceSession(contents, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def run(*inputs):
        try:
            return session.run(None, dict(zip(names, inputs, strict=True)))
        except Exception as error:
            raise _explained(error) from error

    return run


def _load_in_openvino(contents):
    import openvino

    core = openvino.Core()
    network = core.compile_model(core.read_model(contents), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(*inputs):
        try:
            return list(network(list(inputs)).to_tuple())
        except Exception as error:
            raise _explained(error) from error

    return run


LOADERS = {"onnxruntime": _load_in_onnxruntime, "openvino": _load_in_openvino}


def _explained(error):
    """`OutOfMemory` if this is what a runtime's error says, else the error itself."""
    words = ("bad_alloc", "allocate", "memory")
    return OutOfMemory() if any(word in str(error).lower() for word in words) else error
