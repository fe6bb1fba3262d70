"""3x3 convolutions in float32, directly and by Winograd's algorithm: what `acceleration/winograd.py` chooses by.

python benchmarks/winograd.py [--size 1280x720] [--repeat 7]

The convolutions of the networks at the resolutions at which they stand, in turns, medians. "ratio": channels times
filters over their sum, by which it is chosen; "difference": the largest, of outputs around 1.
"""

import argparse
import statistics
import time

import numpy as np
from common import tensorflow
from tqdm import tqdm

from unet_deblur_tf.commands import flags
from unet_deblur_tf.utils import scripts

# channels, filters, how much smaller than the picture
CONVOLUTIONS = (
    (1024, 256, 8), (512, 256, 8), (512, 128, 4), (256, 256, 8), (256, 256, 16), (256, 128, 4), (128, 256, 8),
    (128, 128, 4), (256, 64, 2), (64, 128, 4), (128, 64, 2), (64, 64, 2), (64, 32, 1),
)  # fmt: skip


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=flags.size, default="1280x720", help="of the picture (default: %(default)s)")
    parser.add_argument("--repeat", type=flags.positive_int, default=7, help="default: %(default)s")
    parser.add_argument("--threads", type=flags.positive_int, default=2, help="default: %(default)s")
    return parser.parse_args()


def forms(channels, filters):
    """A convolution as two functions of a tensor: directly, and by Winograd's algorithm."""
    import tensorflow as tf

    from unet_deblur_tf.acceleration import winograd

    kernel = np.random.default_rng(0).normal(0, (2 / (9 * channels)) ** 0.5, (3, 3, channels, filters))
    direct, transformed = (tf.constant(each, tf.float32) for each in (kernel, winograd.transform_kernel(kernel)))
    signature = [tf.TensorSpec((None, None, None, channels))]
    return [
        tf.function(function, input_signature=signature, autograph=False)
        for function in (
            lambda inputs: tf.nn.conv2d(inputs, direct, 1, "SAME"),
            lambda inputs: winograd.convolve(inputs, transformed),
        )
    ]


def main(arguments):
    tf = tensorflow(arguments.threads)

    from unet_deblur_tf.acceleration.winograd import ratio

    print("| channels, filters | at | ratio | direct | Winograd | of it | difference |\n|---|---|---|---|---|---|---|")
    for channels, filters, stride in tqdm(CONVOLUTIONS, unit="convolution", leave=False):
        height, width = (-(-side // stride) for side in arguments.size)
        inputs = tf.nn.relu(tf.random.stateless_normal((1, height, width, channels), (0, 0)))
        both = forms(channels, filters)
        direct, ours = (function(inputs).numpy() for function in both)
        seconds = [[], []]
        for _ in range(arguments.repeat):
            for function, own in zip(both, seconds):
                start = time.perf_counter()
                function(inputs).numpy()
                own.append(time.perf_counter() - start)
        one, other = (1000 * statistics.median(own) for own in seconds)
        tqdm.write(
            f"| {channels}, {filters} | {width}x{height} | {ratio(channels, filters):.0f} "
            f"| {one:.1f} ms | {other:.1f} ms | {other / one:.2f} | {np.abs(ours - direct).max():.0e} |"
        )


if __name__ == "__main__":
    scripts.run(main, parse_arguments())
