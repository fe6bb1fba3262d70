"""Exports a trained network once more: for TensorFlow Serving, for ONNX Runtime, for LiteRT.

python export.py                                          the newest network, as its next version for the server
python export.py --max-pixels 12000000                    one that takes larger pictures
python export.py --precision mixed_bfloat16               one that is faster where the processor has bfloat16
python export.py --format onnx                            to saved_models/NAME/NAME.onnx, any size
python export.py --format litert --size 1280x720          to saved_models/NAME/NAME_1280x720.tflite, that size
python export.py --model NETWORK.keras --output DIR       a network from elsewhere
"""

import argparse

from unet_deblur_tf import cli
from unet_deblur_tf.recipes import POOLINGS


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_model_argument(parser)
    parser.add_argument("--format", choices=("savedmodel", "onnx", "litert"), default="savedmodel")
    parser.add_argument(
        "--output",
        metavar="PATH",
        help="model base path that gets the next version, or the file; default: beside the network",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there (versions never are)")
    parser.add_argument(
        "--pooling",
        choices=POOLINGS,
        default="auto",
        help="of squeeze-and-excitation: local, global, or as the network was saved (default)",
    )
    cli.add_precision_argument(parser)
    parser.add_argument(
        "--max-pixels",
        type=cli.positive_int,
        metavar="N",
        help="savedmodel: the largest picture that the server takes (default: 1920 x 1200)",
    )
    parser.add_argument(
        "--warmup",
        dest="warmup_sizes",
        type=cli.size,
        nargs="*",
        metavar="WxH",
        help="savedmodel: sizes that the server runs once while loading, none for none (default: 1280x720)",
    )
    parser.add_argument("--size", type=cli.size, metavar="WxH", help="litert: the one size that it will take")
    return parser.parse_args()


def main(arguments):
    cli.quiet_tensorflow()
    from unet_deblur_tf.exporting import export_network

    for line in export_network(**vars(arguments)):
        print(line)


if __name__ == "__main__":
    cli.run(main, parse_arguments())
