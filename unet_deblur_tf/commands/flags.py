"""Command-line flags that several commands share, and the types of their values."""

import argparse
import shlex

from unet_deblur_tf.configs import DATA_KINDS, DIFFICULTIES, POOLINGS, PRECISIONS

DATA_DEFAULTS = {
    "data": "synthetic", "data_dir": None, "kind": None, "blur": None, "sharp": None, "difficulty": "quick",
}  # fmt: skip


def add_data_arguments(parser, several=False):
    """The flags that say which pairs, from `--data` to `--cache-dir`.

    Args:
        parser: `argparse.ArgumentParser`.
        several: bool, `--data` takes more than one.
    """
    parser.set_defaults(**DATA_DEFAULTS)
    if several:
        parser.set_defaults(data=[DATA_DEFAULTS["data"]])
    parser.add_argument(
        "--data",
        nargs="+" if several else None,
        help="'synthetic' (default), a set by its name (gopro, hide, realblur_j, realblur_r, reds), "
        "'frames' for means of the frames of a fast camera in --data-dir, a folder of pairs "
        "in any usual layout, or one of sharp photos to blur",
    )
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        help="for a set by its name: the folder that it lies in; for gopro, that of TensorFlow Datasets, in which "
        "GOPRO_Large.zip may lie (default: as TFDS has it)",
    )
    parser.add_argument(
        "--as",
        dest="kind",
        choices=DATA_KINDS,
        help="what the folder of --data holds: pairs; sharp photos; or pictures whose left half is blurred and whose "
        "right half is sharp (default: told from its folders and file names, and refused if they do not tell)",
    )
    parser.add_argument(
        "--blur",
        metavar="NAME",
        help="name of the folders of blurred pictures, such as blur_gamma (default: the usual)",
    )
    parser.add_argument("--sharp", metavar="NAME", help="name of the folders of sharp pictures (default: the usual)")
    parser.add_argument(
        "--difficulty",
        choices=DIFFICULTIES,
        help="of synthesised blur: "
        + "; ".join(
            f"{name} {some.width}x{some.height}, path {some.blur[0]}-{some.blur[1]} px"
            for name, some in DIFFICULTIES.items()
        )
        + " (default: %(default)s)",
    )
    parser.add_argument(
        "--cache-dir", help="where synthesised and decoded pairs are kept; default: the user's cache folder"
    )


def add_model_argument(parser, default="the newest under saved_models/, else the one that comes with the package"):
    """The flag `--model`, see `loading.find_model`.

    Args:
        parser: `argparse.ArgumentParser`.
        default: str, which network the command takes without the flag, for the help.
    """
    parser.add_argument(
        "--model",
        help="SavedModel folder, .keras file, the name of a network that comes with the package (unet, lite), or "
        f"'latest' for the newest under saved_models/ (default: {default})",
    )


def add_restoring_arguments(parser):
    """The flags that say how pictures are restored, from `--tile` to `--precision`."""
    parser.add_argument(
        "--tile",
        type=int,
        metavar="N",
        help="side of the tiles in pixels, 0 for none (default: none if the picture fits in memory, else as it fits)",
    )
    parser.add_argument(
        "--memory",
        type=positive_float,
        metavar="GB",
        help="what this process should stay within (default: what it has and half of what is free)",
    )
    parser.add_argument(
        "--pooling",
        choices=POOLINGS,
        default="auto",
        help="of squeeze-and-excitation: local takes means over 1.5 times the training crop, global over the picture, "
        "auto what measured better after training (default)",
    )
    parser.add_argument(
        "--ensemble", action="store_true", help="the mean over 8 flips and quarter turns: 8 times the time"
    )
    parser.add_argument(
        "--strength",
        type=fraction,
        default=1.0,
        metavar="S",
        help="share of the correction that is made, above 0 and up to 1: less where a picture comes out too sharp "
        "(default: %(default)g)",
    )
    add_precision_argument(parser)


def add_precision_argument(parser):
    """The flag `--precision` of what has been trained."""
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="float32, or mixed_bfloat16, about twice as fast where the processor has it (AVX512_BF16, AMX) and a "
        "little less exact (default: what it was saved in)",
    )


def restoring_options(arguments):
    """The parsed flags as keyword arguments, memory in bytes."""
    options = vars(arguments)
    return {**options, "memory": options["memory"] and options["memory"] * 1e9}


def data_flags(options):
    """The same flags once more, those that are not the defaults, for a command to type next."""
    given = {name: options[name] for name, default in DATA_DEFAULTS.items() if options[name] != default}
    flag = {name: name.replace("_", "-") for name in given} | {"kind": "as"}
    return "".join(f" --{flag[name]} {shlex.quote(value)}" for name, value in given.items())


def positive_int(text):
    """An int of at least 1 and below 2^31, for `argparse`."""
    value = int(text)
    if not 1 <= value < 2**31:
        raise argparse.ArgumentTypeError(f"must be at least 1 and below 2^31, not {text}")
    return value


def positive_float(text):
    """A number above 0, for `argparse`."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be above 0, not {text}")
    return value


def fraction(text):
    """A number above 0 and up to 1, for `argparse`."""
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most 1, not {text}")
    return value


def size(text):
    """A picture's size, such as 1280x720, as (height, width), for `argparse`."""
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and 0 < int(width) < 2**16 and 0 < int(height) < 2**16):
        raise argparse.ArgumentTypeError(f"must be WIDTHxHEIGHT in pixels, such as 1280x720, not {text!r}")
    return int(height), int(width)


def seed(text):
    """An int that all random number generators take, for `argparse`."""
    value = int(text)
    if not 0 <= value < 2**32:
        raise argparse.ArgumentTypeError(f"must be at least 0 and under 2^32, not {text}")
    return value
