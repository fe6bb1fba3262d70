"""A server with the models of `models.py`: the stand-in `double.py`, or the real one.

The real one is named by SERVING_MODELS (the folder that it serves), SERVING_REST and
SERVING_GRPC (host:port), as `examples/serving/check.sh` sets them.
"""

import dataclasses
import os
import pathlib
import subprocess
import sys

import models
import pytest

HERE = pathlib.Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Server:
    models: pathlib.Path
    rest: str
    grpc: str


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    if "SERVING_MODELS" in os.environ:
        names = ("SERVING_MODELS", "SERVING_REST", "SERVING_GRPC")
        folder, rest, grpc = (os.environ[name] for name in names)
        yield Server(pathlib.Path(folder), rest, grpc)
        return
    pytest.importorskip("tensorflow_serving")
    folder = tmp_path_factory.mktemp("models")
    models.write(folder)
    command = [sys.executable, HERE / "double.py", folder, "--rest-port", "0", "--grpc-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            for line in process.stdout:
                if line.startswith("REST on "):
                    rest, grpc = (part.split()[-1] for part in line.split(";")[0].split(","))
                    yield Server(folder, rest, grpc)
                    return
            raise RuntimeError("the server did not start")
        finally:
            process.terminate()
