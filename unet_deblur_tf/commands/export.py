"""Exports a trained network once more: for TensorFlow Serving, for ONNX Runtime, for LiteRT.

{program}                                          the newest network, as its next version for the server
{program} --max-pixels 12000000                    one that takes larger pictures
{program} --precision mixed_bfloat16               one that is faster where the processor has bfloat16
{program} --format onnx                            to saved_models/NAME/NAME.onnx, any size
{program} --format litert --size 1280x720          to saved_models/NAME/NAME_1280x720.tflite, that size
{program} --model NETWORK.keras --output DIR       a network from elsewhere
"""

from unet_deblur_tf.commands import flags
from unet_deblur_tf.configs import EXPORT_FORMATS, POOLINGS
from unet_deblur_tf.utils.scripts import quiet_tensorflow


def add_arguments(parser):
    """Adds the flags of the command."""
    flags.add_model_argument(parser)
    parser.add_argument("--format", choices=EXPORT_FORMATS, default="savedmodel")
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
    flags.add_precision_argument(parser)
    parser.add_argument(
        "--max-pixels",
        type=flags.positive_int,
        metavar="N",
        help="savedmodel: the largest picture that the server takes (default: 1920 x 1200)",
    )
    parser.add_argument(
        "--warmup",
        dest="warmup_sizes",
        type=flags.size,
        nargs="*",
        metavar="WxH",
        help="savedmodel: sizes that the server runs once while loading, none for none (default: 1280x720)",
    )
    parser.add_argument("--size", type=flags.size, metavar="WxH", help="litert: the one size that it will take")


def main(arguments):
    """Runs the command with parsed flags."""
    quiet_tensorflow()
    from unet_deblur_tf.exporting.export import export_network

    for line in export_network(**vars(arguments)):
        print(line)
