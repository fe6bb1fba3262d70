"""What quantisation after training costs: PSNR of a network whose convolutions ONNX Runtime computes in 8 bits.

python benchmarks/int8.py --data GOPRO/ [--model lite]

It needs the extra `onnxruntime`. The network runs at one scale on the centre of each test picture, blurred and sharp.
"""

import argparse
import logging
import tempfile
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from unet_deblur_tf.commands import flags
from unet_deblur_tf.data.synthesis.scenes import scene
from unet_deblur_tf.utils import scripts

CENTRE = (360, 640)
CALIBRATION = 16  # scenes of 192x256 pixels, blurred by 1 to 9 pixels


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="lite", help="default: %(default)s")
    parser.add_argument("--data", required=True, help="a folder of pairs, with the part test/")
    parser.add_argument("--floats", type=flags.positive_int, nargs="*", default=[1, 4, 10], metavar="N")
    return parser.parse_args()


def main(arguments):
    scripts.quiet_tensorflow()
    import onnx
    from onnxruntime.quantization import CalibrationMethod
    from onnxruntime.quantization.shape_inference import quant_pre_process

    from unet_deblur_tf.data.pictures import read_picture
    from unet_deblur_tf.data.sources import open_source
    from unet_deblur_tf.exporting.onnx_litert import export_onnx
    from unet_deblur_tf.models.loading import at_chosen_scales, load

    logging.disable(logging.WARNING)
    pairs = [
        [centre(read_picture(picture)) for picture in pair.pictures]
        for pair in tqdm(open_source(arguments.data).pairs("test"), "Reading", leave=False)
    ]
    with tempfile.TemporaryDirectory() as folder:
        whole, quantised = Path(folder) / "network.onnx", Path(folder) / "int8.onnx"
        export_onnx(at_chosen_scales(load(arguments.model), 1), whole, clip=False)
        rows = {"blurred": None, "float32": whole}
        for name, path in rows.items():
            print(f"| {name} | {score(path, pairs):.2f} |", flush=True)
        quant_pre_process(whole, whole, skip_symbolic_shape=True)
        convolutions = [node.name for node in onnx.load(whole).graph.node if node.op_type == "Conv"]
        quantise(whole, quantised)
        print(f"| all in int8 | {score(quantised, pairs):.2f} |", flush=True)
        for method in (CalibrationMethod.MinMax, CalibrationMethod.Percentile):
            for count in arguments.floats if method == CalibrationMethod.MinMax else arguments.floats[:1]:
                ends = convolutions[:count] + convolutions[-count:]
                quantise(whole, quantised, ends, calibrate_method=method, op_types_to_quantize=["Conv"])
                name = f"{len(ends)} of {len(convolutions)} convolutions in float32, {method.name}"
                print(f"| {name} | {score(quantised, pairs):.2f} |", flush=True)


def centre(picture):
    """The centre of a picture, float32 in 0..1."""
    top, left = ((side - wanted) // 2 for side, wanted in zip(picture.shape, CENTRE))
    return np.float32(picture[top : top + CENTRE[0], left : left + CENTRE[1]]) / 255


def quantise(source, target, ends=(), **options):
    """Writes a network with activations and weights in 8 bits, but for the convolutions `ends`."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Scenes(CalibrationDataReader):
        def __init__(self):
            pictures = (np.float32(scene(np.random.default_rng(seed), 192, 256)) for seed in range(CALIBRATION))
            self.blurred = iter([cv2.blur(each, (1, 1 + 2 * (i % 5))) for i, each in enumerate(pictures)])

        def get_next(self):
            picture = next(self.blurred, None)
            return None if picture is None else {"image": picture[np.newaxis]}

    quantize_static(
        source,
        target,
        Scenes(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        nodes_to_exclude=list(ends),
        extra_options={"CalibPercentile": 99.999},
        **options,
    )


def score(path, pairs):
    """The mean PSNR in dB; without a network, that of the blurred pictures."""
    import onnxruntime

    session = path and onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    decibels = []
    for blurred, sharp in pairs:
        restored = np.clip(session.run(None, {"image": blurred[np.newaxis]})[0][0], 0, 1) if session else blurred
        decibels.append(-10 * np.log10(np.mean((restored - sharp) ** 2)))
    return np.mean(decibels)


if __name__ == "__main__":
    scripts.run(main, parse_arguments())
