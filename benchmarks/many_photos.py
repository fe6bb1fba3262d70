"""What `deblur-many` costs: pictures a second next to a plain `deblur`, start-up, and memory of each process.

python benchmarks/many_photos.py [--small 10000] [--large 200] [--huge 4] [--model lite] [--workers 1 2] [--price 0.04]

Small pictures have 160x120 pixels, large ones 1280x720, huge ones 4000x3000: JPEG files of synthetic scenes. Each
command runs once for one picture, which is its start-up, and once for all of them. Core-seconds are what all its
processes computed, which counts less than the clock what else the machine does. At the end it computes from the huge
ones what a million such photos take and cost, at a price in dollars for an hour of one core.
"""

import argparse
import contextlib
import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from common import machine, peak_memory
from PIL import Image

from unet_deblur_tf.commands import flags
from unet_deblur_tf.data.synthesis.scenes import scene
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.utils import scripts

SIZES = {"small": (120, 160), "large": (720, 1280), "huge": (3000, 4000)}  # (height, width)
SCENES = 8  # different ones of each size
MILLION = 10**6


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", type=int, default=10000, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument("--large", type=int, default=200, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument("--huge", type=int, default=4, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument("--model", default="lite", help="default: %(default)s")
    parser.add_argument(
        "--workers", nargs="+", type=flags.positive_int, default=[1, 2], help="processes (default: 1 2)"
    )
    parser.add_argument("--price", type=flags.positive_float, default=0.04, help="dollars (default: %(default)s)")
    return parser.parse_args()


def make_photos(folder, size, count):
    """Writes JPEG files of a size, (height, width), to a new folder."""
    folder.mkdir()
    for number in range(count):
        path = folder / f"{number:06}.jpg"
        if number < SCENES:
            pixels = scene(np.random.default_rng(number), *size)
            Image.fromarray(np.round(pixels * 255).astype(np.uint8)).save(path, quality=95)
        else:
            shutil.copy(folder / f"{number % SCENES:06}.jpg", path)


def run(command, inputs, output, model):
    """Restores a folder or a file.

    Returns:
        (seconds, seconds that all processes computed, list of the peak memory of each in bytes, largest first).
    """
    words = [sys.executable, "-m", "unet_deblur_tf", *command, inputs, "--model", model, "--output", output]
    began, computed, peaks = time.perf_counter(), processor_seconds(), {}
    with tempfile.TemporaryFile() as said:
        process = psutil.Popen([*map(str, words)], stdout=said, stderr=said)
        while process.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError, ValueError):
                for each in (process, *process.children(recursive=True)):
                    peaks[each.pid] = peak_memory(each.pid)
            time.sleep(0.05)
        if process.returncode:
            said.seek(0)
            raise InputError(f"{' '.join(command)} failed: {said.read().decode()[-500:]}")
    return time.perf_counter() - began, processor_seconds() - computed, sorted(peaks.values(), reverse=True)


def processor_seconds():
    """What the processes below this one have computed, of those that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(command, photos, output, model):
    """One row: start-up, pictures a second after it, and memory."""
    first = next(photos.iterdir())
    startup, startup_computed, _ = run(command, first, output / "one", model)
    seconds, computed, peaks = run(command, photos, output / "all", model)
    count = len(list(photos.iterdir()))
    written = len(list((output / "all").glob("*.jpg")))
    if written != count:
        raise InputError(f"{' '.join(command)} wrote {written} of {count} pictures")
    shutil.rmtree(output)
    return {
        "startup": startup,
        "seconds": seconds,
        "rate": (count - 1) / (seconds - startup),
        "computed": (computed - startup_computed) / (count - 1),
        "peaks": peaks,
    }


def compare(name, count, arguments, folder):
    """Measures all commands on pictures of one size, prints a table, and returns its rows."""
    photos = folder / name
    make_photos(photos, SIZES[name], count)
    # Once unmeasured: the first call of all may convert the network, and files come from the disk.
    run(["deblur"], next(photos.iterdir()), folder / "before", arguments.model)
    shutil.rmtree(folder / "before")
    commands = [["deblur"], *(["deblur-many", "--workers", str(number)] for number in arguments.workers)]
    height, width = SIZES[name]
    print(f"\n{count} pictures of {width}x{height}\n")
    print("| | One picture | All | Pictures a second after the first | Next to `deblur` ", end="")
    print("| Core-seconds for a picture | Memory of each process, GB |\n|---|---|---|---|---|---|---|")
    rows = []
    for command in commands:
        rows.append(measure(command, photos, folder / "restored", arguments.model))
        row, relative = rows[-1], rows[-1]["rate"] / rows[0]["rate"]
        memory = " + ".join(f"{peak / 1e9:.2f}" for peak in row["peaks"] if peak > 5e7)  # without the shells between
        print(
            f"| `{' '.join(command)}` | {row['startup']:.1f} s | {row['seconds']:.0f} s | {row['rate']:.2f} "
            f"| {relative:.0%} | {row['computed']:.3f} | {memory} |",
            flush=True,
        )
    return rows


def on_paper(core_seconds, cores, price):
    """What a million photos take and cost, as a sentence, from the core-seconds of one."""
    hours = MILLION * core_seconds / 3600
    return (
        f"A million photos of 12 megapixels at {core_seconds:.1f} core-seconds each: {hours:,.0f} core-hours, a day on "
        f"{np.ceil(hours / 24 / cores):.0f} machines of {cores} cores, {hours * price:,.0f} dollars at {price} dollars "
        f"for a core and hour, {100 * hours * price / MILLION:.3f} cents for a photo"
    )


def main(arguments):
    about = machine(os.cpu_count())
    print(f"{about['cpu']} ({', '.join(about['instructions'])}), {about['cores']} cores; {arguments.model}")
    with tempfile.TemporaryDirectory() as folder:
        for name in SIZES:
            count = getattr(arguments, name)
            if count < 2:
                continue
            rows = compare(name, count, arguments, Path(folder))
            if name == "huge":
                best = min(row["computed"] for row in rows[1:])
                print(f"\n{on_paper(best, about['cores'], arguments.price)}")


if __name__ == "__main__":
    scripts.run(main, parse_arguments())
