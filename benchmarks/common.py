"""What the benchmarks share: flags, jobs in their own processes, clocks, memory, reports, and what the machine is."""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from unet_deblur_tf.commands import flags
from unet_deblur_tf.configs import VARIANTS
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.utils import scripts
from unet_deblur_tf.utils.hardware import instructions

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # for ONNX Runtime 1.32
WARM_UP = 2
# Packages beyond this project's dependencies, and the extra that has each.
EXTRAS = {"torch": "bench", "onnxruntime": "bench", "openvino": "bench", "onnx": "export", "tf2onnx": "export"}


def add_arguments(parser, jobs, repeat):
    """The flags that the scripts share: variants, how often, threads, where to write, and those of their own processes.

    Args:
        parser: `argparse.ArgumentParser`.
        jobs: dict from a name to a function of the parsed flags, see `do`.
        repeat: int, the default.
    """
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="NAME")
    parser.add_argument("--repeat", type=flags.positive_int, default=repeat, help="default: %(default)s")
    parser.add_argument("--threads", type=flags.positive_int, default=2, help="default: %(default)s")
    parser.add_argument("--output", type=Path, metavar="DIR", help="where to write the report as .md and .json")
    # For the processes of a script's own: what to do, and where a variant's files are.
    parser.add_argument("--job", choices=jobs, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)


def do(script, job, folder, arguments, variant, *flags):
    """What a job of a script returns, in a process of its own.

    Args:
        script: path.
        job: str, its name.
        folder: `Path` of the variant's files.
        arguments: the parsed flags of `add_arguments`.
        variant: str, or None.
        flags: further ones.
    """
    flags = ["--job", job, "--folder", folder, "--repeat", arguments.repeat, "--threads", arguments.threads, *flags]
    flags += ["--variants", variant] if variant else []
    # What PyTorch compiles is compiled anew by each run of a script, and leaves nothing behind.
    return in_own_process(script, *flags, environment={"TORCHINDUCTOR_CACHE_DIR": f"{folder}/compiled"})


def tensorflow(threads):
    """TensorFlow, held to so many threads."""
    scripts.quiet_tensorflow()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    return tf


def load_keras(path):
    """A network from its .keras file."""
    scripts.quiet_tensorflow()
    import keras

    import unet_deblur_tf.models.unet  # noqa: F401  (Keras then knows the layers)

    return keras.saving.load_model(path)


def load_keras_in(precision, path):
    """A network from its .keras file, to compute in "float32" or "bfloat16"."""
    network = load_keras(path)

    from unet_deblur_tf.models.transforms import in_precision

    return network if precision == "float32" else in_precision(network, "mixed_bfloat16")


def keras_weights(model):
    """All weights of a `keras.Model`: a dict from `layer/weight`, such as `inc_conv1/kernel`, to arrays."""
    from unet_deblur_tf.models.scales import trunk_of

    layers = trunk_of(model).layers
    return {f"{layer.name}/{weight.name}": weight.numpy() for layer in layers for weight in layer.weights}


def random_network(arguments):
    """A variant with random weights, and random crops, as model.keras, weights.npz and crops.npy for all rows.

    Args:
        arguments: parsed flags with `folder`, `batch_size`, `crop` and one of `variants`.

    Returns:
        `keras.Model`, and a float32 array `(2, batch, crop, crop, 3)`: blurred and sharp.
    """
    import keras

    from unet_deblur_tf.models.scales import trunk_of
    from unet_deblur_tf.models.unet import build

    (variant,) = arguments.variants
    keras.utils.set_random_seed(0)
    network = build(variant)
    out = trunk_of(network).get_layer("out_conv").kernel
    out.assign(np.random.default_rng(0).normal(0, 1e-3, out.shape))
    network.save(arguments.folder / "model.keras")
    np.savez(arguments.folder / "weights.npz", **keras_weights(network))
    shape = (2, arguments.batch_size, arguments.crop, arguments.crop, 3)
    crops = np.random.default_rng(1).random(shape, np.float32)
    np.save(arguments.folder / "crops.npy", crops)
    return network, crops


def matmul_peaks(threads, side=4096, repeat=5):
    """GFLOP/s of a square matrix product, by precision: the best of several."""
    tf = tensorflow(threads)
    multiply = tf.function(tf.matmul)
    peaks = {}
    for precision in ("float32", "bfloat16"):
        matrix = tf.cast(tf.random.normal((side, side)), precision)
        seconds, _ = timed(lambda: multiply(matrix, matrix), repeat)  # noqa: B023
        peaks[precision] = 2 * side**3 / min(seconds) / 1e9
    return peaks


def timed(function, repeat):
    """The seconds of each run after the warm-up, and what the last one returned."""
    seconds = []
    for _ in range(WARM_UP + repeat):
        start = time.perf_counter()
        result = function()
        seconds.append(time.perf_counter() - start)
    return seconds[WARM_UP:], result


def peak_memory(process="self"):
    """Bytes that a process has held at most; Linux alone knows."""
    # `ru_maxrss` would include what the process that it was forked from held.
    (peak,) = (line for line in Path(f"/proc/{process}/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(peak.split()[1]) * 1024


class JobFailed(InputError):
    """A process ended badly; the message is the last line it wrote."""


def in_own_process(script, *flags, environment=None):
    """What a script prints as JSON in its last line.

    Args:
        script: path.
        flags: its arguments, turned into strings.
        environment: dict of variables to add.

    Raises:
        JobFailed: if it fails or is killed.
    """
    command = [sys.executable, script, *map(str, flags)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **(environment or {})})
    if done.returncode < 0:
        raise JobFailed(f"killed by {signal.Signals(-done.returncode).name}")
    if done.returncode:
        raise JobFailed((done.stderr.strip() or f"ended with status {done.returncode}").splitlines()[-1])
    return json.loads(done.stdout.splitlines()[-1])


def installed(row, packages):
    """Whether the packages that a row needs are there; says what to install if not."""
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        extras = ",".join(sorted({EXTRAS[package] for package in missing}))
        print(f'{row}: skipped without {", ".join(missing)}: pip install -e ".[{extras}]"')
    return not missing


def machine(threads):
    """What it runs on, as a dict."""
    cpu = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        cpu.setdefault(key.strip(), value.strip())
    packages = ("tensorflow", "keras", *(package for package in EXTRAS if importlib.util.find_spec(package)), "numpy")
    return {
        "cpu": cpu.get("model name", platform.machine()),
        "instructions": [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in instructions()],
        "cores": os.cpu_count(),
        "threads": threads,
        "versions": {"python": platform.python_version()}
        | {package: importlib.metadata.version(package) for package in packages},
    }


def describe(about, peaks):
    """What `machine` and `matmul_peaks` found, in two paragraphs."""
    versions = ", ".join(f"{package} {version}" for package, version in about["versions"].items())
    return (
        f"{about['cpu']} ({', '.join(about['instructions'])}), {about['cores']} cores; {versions}.\n\n"
        + "Matrix product, 4096x4096: "
        + ", ".join(f"{gflops:.0f} GFLOP/s in {precision}" for precision, gflops in peaks.items())
        + "."
    )


def report(script, arguments, names, heading, flags, figures, table):
    """Runs a script's rows for all variants, prints a table of each, and writes them where `--output` says.

    Args:
        script: path, with the jobs "matmul_peaks" and "make_model".
        arguments: the parsed flags of `add_arguments`.
        names: of the rows.
        heading: str, the first sentence of the report.
        flags: further ones for "make_model".
        figures: function of (variant, row's name, what "make_model" returned, peaks, the variant's folder, arguments)
            to a dict.
        table: function of (variant, what "make_model" returned, list of such dicts) to Markdown.

    Returns:
        (what `machine` found, all the dicts).
    """
    about, rows = machine(arguments.threads), []
    with (
        tempfile.TemporaryDirectory() as temporary,
        tqdm(total=len(arguments.variants) * len(names), unit="row") as progress,
    ):
        progress.set_description("matrix product")
        peaks = do(script, "matmul_peaks", temporary, arguments, None)
        parts = [f"{heading}\n\n{describe(about, peaks)}"]
        progress.write(parts[0])
        for variant in arguments.variants:
            progress.set_description(variant)
            folder = Path(temporary) / variant
            folder.mkdir()
            made, own = do(script, "make_model", folder, arguments, variant, *flags), []
            for name in names:
                progress.set_description(f"{variant}, {name}")
                own.append(figures(variant, name, made, peaks, folder, arguments))
                progress.update()
            rows += own
            parts.append(table(variant, made, own))
            progress.write(f"\n{parts[-1]}")
    if arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)
        name = Path(script).stem
        settings = {key: value for key, value in vars(arguments).items() if key not in ("job", "folder", "output")}
        record = {"machine": about, "settings": settings, "peaks": peaks, "rows": rows}
        (arguments.output / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
        (arguments.output / f"{name}.md").write_text("\n\n".join(parts) + "\n")
    return about, rows
