"""Exports a trained network for TensorFlow Serving, ONNX Runtime, OpenVINO or LiteRT.

{program}                                          the newest network, as its next version for the server
{program} --max-pixels 12000000                    a version that takes larger pictures
{program} --precision mixed_bfloat16               a version that is faster on processors with bfloat16
{program} --format onnx                            saved_models/NAME/NAME.onnx, for pictures of any size
{program} --format onnx --half-weights             half as large, for downloads
{program} --format openvino --int8                 saved_models/NAME/NAME_int8.xml and .bin, faster on many processors
{program} --format litert --size 1280x720          saved_models/NAME/NAME_1280x720.tflite, for that size
{program} --model NETWORK.keras --output DIR       a network from elsewhere
"""

from unet_deblur_tf.commands import flags
from unet_deblur_tf.configs import EXPORT_FORMATS, POOLINGS
from unet_deblur_tf.utils.scripts import quiet_tensorflow


def add_arguments(parser):
    """Adds the flags of the command."""
    flags.add_model_argument(parser)
    parser.add_argument("--format", choices=EXPORT_FORMATS, default="savedmodel", help="default: %(default)s")
    parser.add_argument(
        "--output",
        metavar="PATH",
        help="for savedmodel the model base path, which gets the next version, else the file (default: beside the "
        "network)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace an existing file (versions are never replaced)"
    )
    parser.add_argument(
        "--pooling",
        choices=POOLINGS,
        default="auto",
        help="pooling of squeeze-and-excitation: local, global, or auto, as the network was saved (default)",
    )
    flags.add_scales_argument(parser)
    flags.add_precision_argument(parser, auto=False)
    parser.add_argument(
        "--max-pixels",
        type=flags.positive_int,
        metavar="N",
        help="for savedmodel: size of the largest picture that the server takes (default: 1920 x 1200 pixels)",
    )
    parser.add_argument(
        "--warmup",
        dest="warmup_sizes",
        type=flags.size,
        nargs="*",
        metavar="WxH",
        help="for savedmodel: sizes of the warm-up requests; none if no size follows (default: 1280x720)",
    )
    parser.add_argument("--size", type=flags.size, metavar="WxH", help="for litert: size of the pictures")
    parser.add_argument(
        "--half-weights",
        action="store_true",
        help="for onnx and openvino: store the weights as float16, which halves the file; the network still computes "
        "in float32",
    )
    parser.add_argument(
        "--int8",
        action="store_true",
        help="for openvino: compute convolutions in 8 bits; it is refused if the network then gains less (needs the "
        "extra int8)",
    )


def main(arguments):
    """Runs the command with parsed flags."""
    quiet_tensorflow()
    from unet_deblur_tf.exporting.export import export_network

    for line in export_network(**vars(arguments)):
        print(line)
