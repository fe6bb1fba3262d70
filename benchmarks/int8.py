"""What quantisation after training costs and saves: PSNR and time of a network whose convolutions are in 8 bits.

python benchmarks/int8.py --data GOPRO/ [--model lite]

It needs the extra `bench`. First, OpenVINO runs what `unet-deblur export --format openvino --int8` writes: on whole
pictures, at the scales of the network. Then, at one scale on the centre of each picture, ONNX Runtime runs what its own
`quantize_static` makes; OpenVINO reads these files too. The last columns say how many times as fast the network is as
in float32 in the same runtime: medians of the ratios, in turns.
"""

import argparse
import logging
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from unet_deblur_tf.commands import flags
from unet_deblur_tf.data.synthesis.scenes import scene
from unet_deblur_tf.utils import scripts

CENTRE = (360, 640)
TURNS = 9
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
    pictures = [
        [np.float32(read_picture(picture)) / 255 for picture in pair.pictures]
        for pair in tqdm(open_source(arguments.data).pairs("test"), "Reading", leave=False)
    ]
    with tempfile.TemporaryDirectory() as folder:
        exported(arguments.model, Path(folder), pictures)
        pairs = [list(map(centre, pair)) for pair in pictures]
        print("\n| the centre, one scale | PSNR | in ONNX Runtime | in OpenVINO |\n|---|---|---|---|")
        whole, quantised = Path(folder) / "network.onnx", Path(folder) / "int8.onnx"
        export_onnx(at_chosen_scales(load(arguments.model), 1), whole, clip=False)
        for name, path in (("blurred", None), ("float32", whole)):
            print(f"| {name} | {score(path and in_onnxruntime(path), pairs):.2f} | | |", flush=True)
        quant_pre_process(whole, whole, skip_symbolic_shape=True)
        both = whole, quantised, pairs[0][0], [in_onnxruntime, in_openvino]
        convolutions = [node.name for node in onnx.load(whole).graph.node if node.op_type == "Conv"]
        quantise(whole, quantised)
        print(f"| all in int8 | {score(in_onnxruntime(quantised), pairs):.2f} | {speed(*both)} |", flush=True)
        for method in (CalibrationMethod.MinMax, CalibrationMethod.Percentile):
            for count in arguments.floats if method == CalibrationMethod.MinMax else arguments.floats[:1]:
                ends = convolutions[:count] + convolutions[-count:]
                quantise(whole, quantised, ends, calibrate_method=method, op_types_to_quantize=["Conv"])
                name = f"{len(ends)} of {len(convolutions)} convolutions in float32, {method.name}"
                print(f"| {name} | {score(in_onnxruntime(quantised), pairs):.2f} | {speed(*both)} |", flush=True)


def exported(model, folder, pairs):
    """Scores and times what the command writes, with and without `--int8`."""
    from unet_deblur_tf.exporting.export import export_network

    paths = []
    for int8 in (False, True):
        paths.append(folder / f"{int8}.xml")
        print(*export_network(model, format="openvino", output=paths[-1], int8=int8), sep="\n", flush=True)
    print("\n| whole pictures | PSNR | in OpenVINO |\n|---|---|---|")
    print(f"| blurred | {score(None, pairs):.2f} | |")
    whole, quantised = paths
    print(f"| float32 | {score(in_openvino(whole), pairs):.2f} | |", flush=True)
    times = speed(whole, quantised, pairs[0][0], [in_openvino])
    print(f"| --int8 | {score(in_openvino(quantised), pairs):.2f} | {times} |", flush=True)


def centre(picture):
    """The centre of a picture."""
    top, left = ((side - wanted) // 2 for side, wanted in zip(picture.shape, CENTRE))
    return picture[top : top + CENTRE[0], left : left + CENTRE[1]]


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


def score(run, pairs):
    """The mean PSNR in dB; without a network, that of the blurred pictures."""
    decibels = []
    for blurred, sharp in pairs:
        restored = np.clip(run(blurred[np.newaxis])[0][0], 0, 1) if run else blurred
        decibels.append(-10 * np.log10(np.mean((restored - sharp) ** 2)))
    return np.mean(decibels)


def speed(whole, quantised, picture, runtimes):
    """How many times as fast the quantised network is as the whole one, in each runtime, with both times in ms."""
    cells = []
    for start in runtimes:
        runs = start(whole), start(quantised)
        turns = [[seconds(run, picture) for run in runs] for _ in range(TURNS + 1)][1:]
        slow, fast = (1000 * statistics.median(each) for each in zip(*turns))
        cells.append(f"{statistics.median(slow / fast for slow, fast in turns):.2f} ({slow:.0f}, {fast:.0f} ms)")
    return " | ".join(cells)


def seconds(run, picture):
    begin = time.perf_counter()
    run(picture[np.newaxis])
    return time.perf_counter() - begin


def in_onnxruntime(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda picture: session.run(None, {"image": picture})


def in_openvino(path):
    import openvino

    network = openvino.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda picture: network(picture)


if __name__ == "__main__":
    scripts.run(main, parse_arguments())
