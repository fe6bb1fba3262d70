"""From the command to the picture: how long fresh processes take for one photo, in turns.

python benchmarks/first_picture.py [--model unet] [--size 1280x720] [--repeat 5]

It compares `python deblur.py photo.png` in each runtime with the import of TensorFlow, with a call that finds its
result, and with the shortest scripts that do the same with ONNX Runtime and OpenVINO, which read a file that was
exported before (the extras `bench` and `export`). Medians of the seconds, and of the time relative to the import of
TensorFlow. One more call has an empty cache folder, so that the network is converted. A second table divides the time
of each runtime.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import installed, machine
from PIL import Image
from tqdm import tqdm

from unet_deblur_tf.commands import flags
from unet_deblur_tf.data.synthesis.scenes import scene
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.utils import scripts

ROOT = Path(__file__).parents[1]
READ = """
import sys
import numpy as np
from PIL import Image
photo, network, result = sys.argv[1:]
image = np.asarray(Image.open(photo), np.float32)[np.newaxis] / 255
"""
WRITE = """
Image.fromarray(np.round(restored[0] * 255).astype(np.uint8)).save(result)
"""
RUNTIMES = {"tensorflow": "tensorflow", "onnxruntime": "onnxruntime", "openvino": "openvino"}  # to what is imported
STAGES = """
import importlib, json, sys, time
import numpy as np
package, runtime, model, height, width = sys.argv[1:]
times = [time.perf_counter()]
importlib.import_module(package)
times.append(time.perf_counter())
from unet_deblur_tf import Restorer
restore = Restorer(model, runtime=runtime)
times.append(time.perf_counter())
for _ in range(3):
    restore(np.zeros((int(height), int(width), 3), np.uint8))
    times.append(time.perf_counter())
print(json.dumps(list(np.diff(times))))
"""
PACKAGES = {"ONNX Runtime": ["onnxruntime"], "OpenVINO": ["openvino"]}
SCRIPTS = {
    "ONNX Runtime": f"""{READ}
import onnxruntime
session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
(restored,) = session.run(None, {{"image": image}})
{WRITE}""",
    "OpenVINO": f"""{READ}
import openvino
model = openvino.compile_model(network, "CPU", {{"INFERENCE_PRECISION_HINT": "f32"}})
restored = model({{"image": image}})[0]
{WRITE}""",
}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="unet", help="default: %(default)s")
    parser.add_argument("--size", type=flags.size, default="1280x720", help="of the photo (default: %(default)s)")
    parser.add_argument("--repeat", type=flags.positive_int, default=5, help="default: %(default)s")
    return parser.parse_args()


def main(arguments):
    others = {name: script for name, script in SCRIPTS.items() if installed(name, PACKAGES[name])}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        photo, network, there = folder / "photo.png", folder / "network.onnx", folder / "there"
        picture = scene(np.random.default_rng(0), *arguments.size)
        Image.fromarray(np.round(picture * 255).astype(np.uint8)).save(photo)
        run("export.py", "--model", arguments.model, "--format", "onnx", "--output", network)
        deblur = ["deblur.py", photo, "--model", arguments.model, "--output"]
        run(*deblur, there)
        new = [*deblur, folder / "new", "--overwrite", "--runtime"]
        commands = {
            "import tensorflow": ["-c", "import tensorflow"],
            **{f"deblur.py in {runtime}": [*new, runtime] for runtime in RUNTIMES},
            "deblur.py, result is there": [*deblur, there],
            "deblur.py --help": ["deblur.py", "--help"],
            **{name: ["-c", script, photo, network, folder / f"{name}.png"] for name, script in others.items()},
        }
        cold = run(*new, "onnxruntime", cache=folder / "cache")
        seconds = {name: [] for name in commands}
        for _ in tqdm(range(arguments.repeat), "Turns"):
            for name, command in commands.items():
                seconds[name].append(run(*command))
        stages = {
            runtime: [
                json.loads(output("-c", STAGES, package, runtime, arguments.model, *arguments.size))
                for _ in range(arguments.repeat)
            ]
            for runtime, package in RUNTIMES.items()
        }
        results = {name: np.asarray(Image.open(folder / f"{name}.png"), int) for name in others}
        ours = np.asarray(Image.open(folder / "new" / "photo.png"), int)
        for name, result in results.items():
            print(f"{name}: at most {np.abs(result - ours).max()} levels of 255 from deblur.py")
    about = machine(os.cpu_count())
    print(f"{about['cpu']}, {about['cores']} cores, {about['versions']}")
    print("\n| | Seconds | Relative to the import |\n|---|---|---|")
    for name, each in seconds.items():
        ratios = [one / base for one, base in zip(each, seconds["import tensorflow"])]
        print(f"| {name} | {statistics.median(each):.2f} | {statistics.median(ratios):.2f} |")
    print(f"| deblur.py in onnxruntime, with the conversion | {cold:.2f} | once |")
    print("\n| | Import | Load | First picture | Second | Third |\n|---|---|---|---|---|---|")
    for runtime, each in stages.items():
        print(f"| {runtime} | {' | '.join(f'{statistics.median(stage):.2f}' for stage in zip(*each))} |")


def run(*arguments, cache=None):
    """Runs Python with arguments in the root of the clone; returns the seconds."""
    begin = time.perf_counter()
    output(*arguments, cache=cache)
    return time.perf_counter() - begin


def output(*arguments, cache=None):
    """Runs Python with arguments in the root of the clone; returns what it prints."""
    environment = {**os.environ, **({"XDG_CACHE_HOME": str(cache)} if cache else {})}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise InputError(f"{arguments[0]} has failed: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout


if __name__ == "__main__":
    scripts.run(main, parse_arguments())
