"""Command-line flags that several commands share, and the types of their values."""

import argparse
import shlex

from unet_deblur_tf.configs import DATA_KINDS, DIFFICULTIES, POOLINGS, PRECISIONS, RUNTIMES, SCALES
from unet_deblur_tf.models import pretrained

DATA_DEFAULTS = {
    "data": "synthetic", "data_dir": None, "kind": None, "blur": None, "sharp": None, "difficulty": "quick",
}  # fmt: skip


def add_data_arguments(parser: argparse.ArgumentParser, several: bool = False) -> None:
    """Adds the flags that choose the pairs, from `--data` to `--cache-dir`.

    Args:
        parser: `argparse.ArgumentParser`.
        several: bool, whether `--data` takes more than one data set.
    """
    parser.set_defaults(**DATA_DEFAULTS)
    if several:
        parser.set_defaults(data=[DATA_DEFAULTS["data"]])
    parser.add_argument(
        "--data",
        nargs="+" if several else None,
        help="the pictures: 'synthetic' for scenes made in code; a published set (gopro, hide, realblur_j, realblur_r, "
        "reds); 'frames' for averages of high-speed camera frames in --data-dir; a folder of pairs in any usual "
        "layout; or a folder of sharp photos, which are blurred (default: synthetic)",
    )
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        help="the folder that contains the published set or the frames; for gopro, the folder of TensorFlow Datasets, "
        "which can contain GOPRO_Large.zip (default for gopro: the folder that TFDS uses)",
    )
    parser.add_argument(
        "--as",
        dest="kind",
        choices=DATA_KINDS,
        help="what the folder of --data contains: pairs; sharp photos; or pictures with a blurred left half and a "
        "sharp right half (default: recognised by folder and file names; an error if they are not clear)",
    )
    parser.add_argument(
        "--blur",
        metavar="NAME",
        help="name of the folders of blurred pictures, such as blur_gamma (default: the usual names)",
    )
    parser.add_argument(
        "--sharp", metavar="NAME", help="name of the folders of sharp pictures (default: the usual names)"
    )
    parser.add_argument(
        "--difficulty",
        choices=DIFFICULTIES,
        help="picture size and length of the camera's path in synthesised pairs: "
        + "; ".join(
            f"{name} {difficulty.width}x{difficulty.height}, {difficulty.blur[0]}-{difficulty.blur[1]} px"
            + (" as separate frames" if difficulty.frames else "")
            for name, difficulty in DIFFICULTIES.items()
        )
        + " (default: %(default)s)",
    )
    parser.add_argument(
        "--cache-dir", help="folder for synthesised and decoded pairs (default: the user's cache folder)"
    )


def add_model_argument(
    parser: argparse.ArgumentParser,
    default: str = "the newest under saved_models/, else the default network of the package",
) -> None:
    """Adds the flag `--model`, see `finding.find_model`.

    Args:
        parser: `argparse.ArgumentParser`.
        default: str, the network that the command uses without the flag, for the help text.
    """
    parser.add_argument(
        "--model",
        help="the network: a SavedModel folder, a .keras file, the name of an included network "
        f"({', '.join(pretrained.manifest()['networks'])}), or 'latest' for the newest under saved_models/ (default: "
        f"{default})",
    )


def add_restoring_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that decide how pictures are restored, from `--tile` to `--runtime`."""
    parser.add_argument(
        "--tile",
        type=int,
        metavar="N",
        help="side of the tiles in pixels, 0 for no tiles (default: no tiles if the picture fits in memory, else the "
        "largest that fit)",
    )
    parser.add_argument(
        "--memory",
        type=positive_float,
        metavar="GB",
        help="memory that the process should not exceed (default: what it already uses plus half of the free memory)",
    )
    parser.add_argument(
        "--pooling",
        choices=POOLINGS,
        default="auto",
        help="where squeeze-and-excitation (in naf: channel attention) takes its means: local, over 1.5 times the "
        "training crop; global, over the whole picture; auto, the one that scored higher after training (default: "
        "%(default)s)",
    )
    add_scales_argument(parser)
    parser.add_argument(
        "--ensemble",
        action="store_true",
        help="average over the 8 flips and quarter turns of the picture, which takes 8 times as long",
    )
    parser.add_argument(
        "--strength",
        type=fraction,
        default=1.0,
        metavar="S",
        help="share of the correction that is applied, above 0 and at most 1; use less if a picture comes out too "
        "sharp (default: %(default)g)",
    )
    add_precision_argument(parser)
    add_runtime_argument(parser)


def add_scales_argument(parser: argparse.ArgumentParser) -> None:
    """Adds the flag `--scales` for a trained network."""
    parser.add_argument(
        "--scales",
        type=scales,
        metavar="N",
        help="number of scales at which the network runs: 1 is full size only, 2 adds half size, 3 adds a quarter. "
        "More scales remove large blur better; 2 takes a quarter more time than 1 (default: auto, the number that the "
        "network was trained with, or 2 if it was trained at one size)",
    )


def add_precision_argument(parser: argparse.ArgumentParser, auto: bool = True) -> None:
    """Adds the flag `--precision` for a trained network.

    Args:
        parser: `argparse.ArgumentParser`.
        auto: bool, whether it can be chosen for this machine.
    """
    chosen = "; auto, the faster one of the first two here, which is measured once" if auto else ""
    parser.add_argument(
        "--precision",
        choices=(*PRECISIONS, *(["auto"] if auto else [])),
        help="number format of the computation: float32; mixed_bfloat16, which is slightly less exact, takes less "
        f"memory, and is faster on some processors and slower on others; mixed_float16, for GPUs{chosen} (default: the "
        "precision of the saved network)",
    )


def add_runtime_argument(parser: argparse.ArgumentParser) -> None:
    """Adds the flag `--runtime`."""
    parser.add_argument(
        "--runtime",
        choices=RUNTIMES,
        default="auto",
        help="what computes: tensorflow; or onnxruntime or openvino (the extras of these names), which start in a "
        "second instead of many, after a conversion that takes half a minute, once (default: auto: onnxruntime or "
        "openvino for the networks of the package on a CPU, if installed; otherwise tensorflow)",
    )


def restoring_options(arguments: argparse.Namespace) -> dict:
    """Returns the parsed flags as keyword arguments, with the memory in bytes."""
    options = vars(arguments)
    return {**options, "memory": options["memory"] and options["memory"] * 1e9}


def data_flags(options: dict) -> str:
    """Formats the data flags that differ from their defaults, for the command line of a next command."""
    changed = {name: options[name] for name, default in DATA_DEFAULTS.items() if options[name] != default}
    flag = {name: name.replace("_", "-") for name in changed} | {"kind": "as"}
    return "".join(f" --{flag[name]} {shlex.quote(value)}" for name, value in changed.items())


def positive_int(text: str) -> int:
    """Parses an int of at least 1 and below 2^31, for `argparse`."""
    value = int(text)
    if not 1 <= value < 2**31:
        raise argparse.ArgumentTypeError(f"must be at least 1 and below 2^31, not {text}")
    return value


def positive_float(text: str) -> float:
    """Parses a finite number above 0, for `argparse`."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be above 0, not {text}")
    return value


def fraction(text: str) -> float:
    """Parses a number above 0 and at most 1, for `argparse`."""
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most 1, not {text}")
    return value


def scales(text: str) -> int | None:
    """Parses "auto" (as None) or a number of scales, for `argparse`."""
    if text == "auto":
        return None
    by_text = {str(number): number for number in SCALES}
    if text not in by_text:
        raise argparse.ArgumentTypeError(f"must be auto, {', '.join(by_text)}, not {text!r}")
    return by_text[text]


def size(text: str) -> tuple[int, int]:
    """Parses the size of a picture, such as 1280x720, for `argparse`.

    Returns:
        (height, width) in pixels.
    """
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and 0 < int(width) < 2**16 and 0 < int(height) < 2**16):
        raise argparse.ArgumentTypeError(f"must be WIDTHxHEIGHT in pixels, such as 1280x720, not {text!r}")
    return int(height), int(width)


def seed(text: str) -> int:
    """Parses an int that every random number generator accepts, for `argparse`."""
    value = int(text)
    if not 0 <= value < 2**32:
        raise argparse.ArgumentTypeError(f"must be at least 0 and under 2^32, not {text}")
    return value
