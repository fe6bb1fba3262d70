"""Damaged and malicious picture files, made from good ones, and what the decoders do with them.

python tests/hostile.py photos --count 4000            deblur.py's decoder
python tests/hostile.py pairs --count 4000             that of evaluate.py and train.py
python tests/hostile.py graph --count 4000             that of the `serving_bytes` signature

Every file is a function of (seed, number), so that one can be made again: --only NUMBER writes it to
the current folder. The decoder runs in a process of its own, so that its death is noticed; it prints one JSON
object at the end. A decoder may return a picture or refuse the file with one of its own errors.
"""

import argparse
import functools
import io
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tifffile
from PIL import Image

DECODERS = ("photos", "pairs", "graph")
LONGEST = 10.0  # seconds for one file
# Bytes above what the process has after its first file. `read_photo` takes up to 89 million pixels (Pillow's limit),
# each a few times over while it is converted; the graph has a limit of 2.3 million.
MEMORY = {"photos": 4e9, "pairs": 4e9, "graph": 0.5e9}
FORMATS = ("png", "jpg", "webp", "tif", "gif")
INTERESTING = (0, 1, 2, 7, 8, 15, 16, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)


@functools.cache
def good_files():
    """Pictures of every kind that the decoders know: a list of (format, bytes)."""
    rng = np.random.default_rng(0)
    smooth = np.cumsum(rng.normal(0, 8, (40, 56, 4)), axis=1) + 128
    rgba = np.clip(smooth, 0, 255).astype(np.uint8)
    deep = rgba.astype(np.uint16) * 257
    picture, exif = Image.fromarray(rgba[..., :3]), Image.Exif()
    exif.update({0x0112: 6, 0x010E: "a description", 0x0132: "2026:01:01 00:00:00"})
    files = []

    def add(kind, image, **options):
        buffer = io.BytesIO()
        image.save(buffer, {"jpg": "JPEG", "tif": "TIFF"}.get(kind, kind.upper()), **options)
        files.append((kind, buffer.getvalue()))

    profile = b"\0" * 128
    for image in (picture, Image.fromarray(rgba), picture.convert("L"), picture.quantize(16), picture.convert("1")):
        add("png", image)
    add("png", picture, exif=exif, icc_profile=profile)
    add("png", Image.fromarray(deep[..., 0]))
    add("jpg", picture, exif=exif, icc_profile=profile)
    add("jpg", picture, progressive=True)
    add("jpg", picture.convert("L"))
    add("jpg", picture.convert("CMYK"))
    add("webp", picture, exif=exif)
    add("webp", Image.fromarray(rgba), lossless=True)
    add("webp", picture, save_all=True, append_images=[picture.rotate(90)])
    for compression in ("raw", "tiff_lzw", "tiff_deflate", "packbits", "jpeg"):
        add("tif", picture, compression=compression)
    add("tif", picture.convert("CMYK"))
    for planes in (deep[..., :3], deep[..., 0]):
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, planes, photometric="rgb" if planes.ndim == 3 else "minisblack")
        files.append(("tif", buffer.getvalue()))
    add("gif", picture)
    add("gif", picture, save_all=True, append_images=[picture.rotate(90), picture.rotate(180)])
    return files


def mutant(seed, number):
    """One damaged file: (format, bytes). The name's ending may be another format's."""
    rng = np.random.default_rng([seed, number])
    files = good_files()
    kind, data = files[number % len(files)]
    data = bytearray(data)
    for _ in range(rng.geometric(0.4)):
        data = CHANGES[rng.integers(len(CHANGES))](rng, data) or bytearray(b"\0")
    if kind == "png" and rng.random() < 0.7:
        data = with_checksums(data)
    if rng.random() < 0.05:
        kind = FORMATS[rng.integers(len(FORMATS))]
    return kind, bytes(data)


def _span(rng, data):
    start = rng.integers(len(data))
    return start, start + 1 + min(int(rng.exponential(20)), len(data) - start - 1)


def flip_bits(rng, data):
    for _ in range(rng.integers(1, 9)):
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    return data


def cut_short(rng, data):
    return data[: rng.integers(1, len(data) + 1)]


def put_number(rng, data):
    """An extreme value where a size, a count or an offset may stand; half of the time near the start."""
    size = int(rng.choice([1, 2, 4]))
    value = int(rng.choice(INTERESTING)) % 256**size
    reach = min(len(data), 64) if rng.random() < 0.5 else len(data)
    at = rng.integers(reach)
    data[at : at + size] = value.to_bytes(size, "big" if rng.random() < 0.5 else "little")
    return data


def delete(rng, data):
    start, end = _span(rng, data)
    del data[start:end]
    return data


def repeat(rng, data):
    start, end = _span(rng, data)
    return data[:end] + data[start:end] * int(rng.integers(1, 20)) + data[end:]


def insert_noise(rng, data):
    at = rng.integers(len(data))
    return data[:at] + rng.bytes(int(rng.integers(1, 40))) + data[at:]


def blank(rng, data):
    start, end = _span(rng, data)
    data[start:end] = bytes([int(rng.choice([0, 255]))]) * (end - start)
    return data


def splice(rng, data):
    """The start of one file, the end of another."""
    files = good_files()
    _, other = files[rng.integers(len(files))]
    return data[: rng.integers(1, len(data) + 1)] + other[rng.integers(len(other)) :]


CHANGES = (flip_bits, cut_short, put_number, put_number, delete, repeat, insert_noise, blank, splice)


def with_checksums(data):
    """A PNG whose chunks have the right checksums, so that what is in them is looked at."""
    at = 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data):
            break
        data[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return data


def decoder(name):
    """A function from a path to a picture, and the errors by which it may refuse a file."""
    from unet_deblur_tf.errors import InputError

    if name == "photos":
        from unet_deblur_tf.data.photos import read_photo

        return lambda path: read_photo(path).pixels, InputError
    if name == "pairs":
        from unet_deblur_tf.data.pictures import read_picture

        return read_picture, InputError
    import tensorflow as tf

    from unet_deblur_tf.exporting.decoding import decode_upright
    from unet_deblur_tf.exporting.saved_model import MAX_PIXELS

    decode = tf.function(
        lambda file: decode_upright(file, "image_bytes[0]", MAX_PIXELS), input_signature=[tf.TensorSpec((), tf.string)]
    )
    return lambda path: decode(path.read_bytes()).numpy(), tf.errors.InvalidArgumentError


def decode_all(name, numbers, seed):
    """Decodes the files of these numbers; writes each number to standard error before it, for when it is the last."""
    decode, refusal = decoder(name)
    decoded, slowest, base = 0, (0.0, None), None
    with tempfile.TemporaryDirectory() as folder:
        for number in numbers:
            print(number, file=sys.stderr, flush=True)
            kind, data = mutant(seed, number)
            path = Path(folder, f"file.{kind}")
            path.write_bytes(data)
            began = time.perf_counter()
            try:
                picture = decode(path)
            except refusal:
                pass
            else:
                assert picture.dtype in (np.uint8, np.uint16), picture.dtype
                assert picture.ndim == 3, picture.shape
                assert picture.shape[2] == 3, picture.shape
                decoded += 1
            slowest = max(slowest, (time.perf_counter() - began, number))
            assert path.read_bytes() == data
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            base = peak if base is None else base
            assert peak - base < MEMORY[name], f"{(peak - base) / 1e9:.1f} GB"
    return {"files": len(numbers), "decoded": decoded, "slowest": slowest, "memory": peak - base}


def run(name, count, seed=0, first=0):
    """Decodes files in a process of its own.

    Returns:
        What `decode_all` returns.

    Raises:
        AssertionError: naming the file's number, if the process dies, an unexpected error comes, or it takes too long.
    """
    command = [sys.executable, __file__, name, "--count", str(count), "--seed", str(seed), "--first", str(first)]
    process = subprocess.Popen([*command, "--inside"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, err = process.communicate(timeout=120 + count * 0.5)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"stuck, seed {seed}, file {err.split()[-1:]}") from None
    numbers = [line for line in err.splitlines() if line.isdigit()]
    assert process.returncode == 0, f"seed {seed}, file {numbers[-1:]}: {process.returncode} {err[-2000:]}"
    found = json.loads(out.splitlines()[-1])
    assert found["slowest"][0] < LONGEST, found
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("decoder", choices=DECODERS)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", type=int, help="write this one file and decode nothing")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only is not None:
        kind, data = mutant(arguments.seed, arguments.only)
        Path(f"mutant-{arguments.seed}-{arguments.only}.{kind}").write_bytes(data)
    elif arguments.inside:
        numbers = range(arguments.first, arguments.first + arguments.count)
        print(json.dumps(decode_all(arguments.decoder, numbers, arguments.seed)))
    else:
        total = {"files": 0, "decoded": 0, "slowest": 0.0, "memory": 0}
        for part in itertools.count():
            count = min(500, arguments.count - 500 * part)
            if count <= 0:
                break
            found = run(arguments.decoder, count, arguments.seed, arguments.first + 500 * part)
            for key in ("files", "decoded"):
                total[key] += found[key]
            total["slowest"] = max(total["slowest"], found["slowest"][0])
            total["memory"] = max(total["memory"], found["memory"])
            print(json.dumps(total), flush=True)


if __name__ == "__main__":
    main()
