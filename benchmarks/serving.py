"""Latency of requests at 1280x720 by route, cold and warm, and how much travels.

python benchmarks/serving.py                              every route, `unet` and `concat_se`
python benchmarks/serving.py --variants unet --requests 40
python benchmarks/serving.py --sizes                      memory over requests of 60 different sizes

The server is `tests/serving/double.py` on loopback, not `tensorflow_model_server`: the
network runs the same TensorFlow graph through the same kind of session, but Python parses
the requests, which counts against the JSON of `REST tensor` above all.
"""

import argparse
import base64
import contextlib
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "examples"))


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", nargs="+", default=["unet", "concat_se"])
    parser.add_argument("--requests", type=int, default=20, help="of each route (default: %(default)s)")
    parser.add_argument("--sizes", action="store_true", help="instead: memory over requests of many sizes")
    return parser.parse_args()


def publish(folder, variants):
    from unet_deblur_tf.exporting.saved_model import publish
    from unet_deblur_tf.exporting.server_files import write_configs
    from unet_deblur_tf.models.unet import build

    for variant in variants:
        publish(build(variant), pathlib.Path(folder) / variant)
    write_configs(folder)


@contextlib.contextmanager
def server(folder, *flags):
    """Starts the stand-in; yields (its process, REST address, gRPC address, seconds to load)."""
    command = [sys.executable, ROOT / "tests/serving/double.py", folder, "--rest-port", "0", "--grpc-port", "0", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        loading = 0.0
        for line in process.stdout:
            if " loaded in " in line:
                loading += float(line.split()[-2])
            if line.startswith("REST on "):
                break
        rest, grpc = (part.split()[-1] for part in line.split(";")[0].split(","))
        try:
            yield process, rest, grpc, loading
        finally:
            process.terminate()


def picture(height, width):
    """A scene with fine detail, uint8, whose PNG has a photo's size."""
    import numpy as np

    from unet_deblur_tf.data.synthesis.scenes import scene

    rng = np.random.default_rng(0)
    return np.round((scene(rng, height, width) + rng.normal(0, 0.01, (height, width, 3))).clip(0, 1) * 255).astype("u1")


def routes(rest, grpc, model, pixels):
    """By name: a function that sends one request and returns the bytes that went and came."""
    import grpc as rpc
    import requests
    import serving_client
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    png = tf.io.encode_png(pixels).numpy()
    floats = pixels[None].astype("float32") / 255

    def rest_bytes():
        (restored,) = serving_client.restore_by_rest([png], rest, model, 600)
        return len(base64.b64encode(png)), len(base64.b64encode(restored))

    def grpc_bytes():
        (restored,) = serving_client.restore_by_grpc([png], grpc, model, 600)
        return len(png), len(restored)

    def grpc_tensor():
        request = predict_pb2.PredictRequest()
        request.model_spec.name = model
        request.inputs["image"].CopyFrom(tf.make_tensor_proto(floats))
        with rpc.insecure_channel(grpc, [("grpc.max_receive_message_length", -1)]) as channel:
            reply = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, 600)
        tf.make_ndarray(reply.outputs["restored"])
        return request.ByteSize(), reply.ByteSize()

    def rest_tensor():
        body = json.dumps({"instances": floats.tolist()})
        reply = requests.post(f"http://{rest}/v1/models/{model}:predict", data=body, timeout=600)
        reply.raise_for_status()
        reply.json()
        return len(body), len(reply.content)

    return {"REST bytes": rest_bytes, "gRPC bytes": grpc_bytes, "gRPC tensor": grpc_tensor, "REST tensor": rest_tensor}


def timed(send):
    begun = time.perf_counter()
    sizes = send()
    return time.perf_counter() - begun, sizes


def latencies(folder, variant, count):
    pixels = picture(720, 1280)
    rows = {}
    for name in ("REST bytes", "gRPC bytes", "gRPC tensor", "REST tensor"):
        with server(folder, "--cold") as (_, rest, grpc, load_cold):
            send = routes(rest, grpc, variant, pixels)[name]
            first_cold, _ = timed(send)
        with server(folder) as (_, rest, grpc, load_warm):
            send = routes(rest, grpc, variant, pixels)[name]
            first_warm, sizes = timed(send)
            times = sorted(timed(send)[0] for _ in range(count if name != "REST tensor" else 3))
        rows[name] = (load_cold, first_cold, load_warm, first_warm, statistics.median(times), times, sizes)
    print(f"\n{variant}, 1280x720, {count} requests after the first (3 of REST tensor)\n")
    print("| route | first, cold | first, warmed | p50 | p95 | request | reply |")
    print("|---|---|---|---|---|---|---|")
    for name, (_, first_cold, _, first_warm, median, times, (sent, received)) in rows.items():
        p95 = f"{times[min(len(times) - 1, round(0.95 * (len(times) - 1)))]:.2f} s" if len(times) >= 10 else "-"
        print(
            f"| {name} | {first_cold:.2f} s | {first_warm:.2f} s | {median:.2f} s | {p95} "
            f"| {sent / 1e6:.1f} MB | {received / 1e6:.1f} MB |"
        )
    load_cold, _, load_warm, *_ = rows["REST bytes"]
    print(f"\nLoading took {load_cold:.1f} s without warm-up requests, {load_warm:.1f} s with them.")


def memory_over_sizes(folder, variant, count=60):
    """The server's resident memory while requests of ever new sizes come in."""
    import numpy as np
    import psutil

    rng = np.random.default_rng(0)
    with server(folder, "--cold") as (process, rest, grpc, _):
        seen = psutil.Process(process.pid)
        same = [routes(rest, grpc, variant, picture(720, 1280))["gRPC bytes"]] * 10
        sizes = [(int(rng.integers(300, 721)), int(rng.integers(400, 1281))) for _ in range(count)]
        print(f"\n{variant}: resident memory of the server, GB")
        for title, sends in (
            ("after 10 requests of 1280x720", same),
            (
                f"after {count} of other sizes up to 1280x720",
                (routes(rest, grpc, variant, picture(*size))["gRPC bytes"] for size in sizes),
            ),
            (
                "after the same sizes again",
                (routes(rest, grpc, variant, picture(*size))["gRPC bytes"] for size in sizes),
            ),
        ):
            seconds = [timed(send)[0] for send in sends]
            print(f"  {seen.memory_info().rss / 1e9:.2f}  {title}, median {statistics.median(seconds):.2f} s")


def main(arguments):
    cores = os.cpu_count()
    print(f"{platform.processor() or platform.machine()}, {cores} cores; the stand-in of tests/serving on loopback")
    for variant in arguments.variants:
        with tempfile.TemporaryDirectory() as folder:
            publish(folder, [variant])
            if arguments.sizes:
                memory_over_sizes(folder, variant)
            else:
                latencies(folder, variant, arguments.requests)


if __name__ == "__main__":
    main(parse_arguments())
