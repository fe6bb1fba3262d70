"""Sends a picture to TensorFlow Serving and writes the restored one, for copying into your own code.

python examples/serving_client.py blurred.jpg restored.png                    REST, to localhost:8501
python examples/serving_client.py blurred.jpg restored.png --protocol grpc    gRPC, to localhost:8500

It needs requests for REST; grpcio and tensorflow-serving-api for gRPC; nothing of this
project. What goes over the wire is the file as it is, and a PNG comes back.
"""

import argparse
import base64
import os
import pathlib
import re
import sys

PORTS = {"rest": 8501, "grpc": 8500}
UNKNOWN = " (--model takes the name of a folder that the server has)"


class ServerError(Exception):
    """The server cannot be reached, or answered that it could not do it; the text says why."""


def restore_by_rest(files, server, model, timeout):
    """Restores pictures through the REST API.

    Args:
        files: list of bytes: PNG, JPEG, GIF, BMP or WebP files, of any sizes.
        server: "HOST:PORT".
        model: name of the model, or "NAME/versions/3".
        timeout: in seconds.

    Returns:
        List of bytes, PNG files.

    Raises:
        ServerError: with a sentence.
    """
    import requests

    instances = [{"b64": base64.b64encode(file).decode()} for file in files]
    url = f"http://{server}/v1/models/{model}:predict"
    try:
        reply = requests.post(url, json={"signature_name": "serving_bytes", "instances": instances}, timeout=timeout)
    except requests.exceptions.ConnectionError as error:
        raise ServerError(f"No server answers at {server}: is it running, and is this its REST port?") from error
    except requests.exceptions.Timeout as error:
        raise ServerError(f"{server} took longer than {timeout:g} s (--timeout)") from error
    try:
        answer = reply.json()
    except ValueError as error:
        raise ServerError(f"{server} answered {reply.status_code} without JSON: is this its REST port?") from error
    if not isinstance(answer, dict) or "predictions" not in answer:
        text = answer["error"] if isinstance(answer, dict) and "error" in answer else reply.text[:500]
        raise ServerError(f"{server} answered {reply.status_code}: {text}{UNKNOWN if reply.status_code == 404 else ''}")
    # Of a single output TensorFlow Serving leaves out the name.
    return [base64.b64decode(prediction["b64"]) for prediction in answer["predictions"]]


def restore_by_grpc(files, server, model, timeout):
    """Restores pictures through gRPC; arguments, result and errors are those of `restore_by_rest`."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # the messages below bring TensorFlow along
    import grpc
    from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    name, _, version = model.partition("/versions/")
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = "serving_bytes"
    if version:
        request.model_spec.version.value = int(version)
    shape = tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=len(files))])
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, tensor_shape=shape, string_val=files)
    request.inputs["image_bytes"].CopyFrom(tensor)
    # A client takes answers up to 4 MB unless told otherwise; a restored photo is more.
    sizes = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(server, sizes) as channel:
        try:
            reply = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNAVAILABLE:
                text = f"{server} cannot be reached by gRPC, or has too much to do: {error.details()}"
            elif error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
                text = f"{server} took longer than {timeout:g} s (--timeout)"
            else:
                unknown = UNKNOWN if error.code() == grpc.StatusCode.NOT_FOUND else ""
                text = f"{server} answered {error.code().name}: {error.details()}{unknown}"
            raise ServerError(text) from error
    return list(reply.outputs["restored_bytes"].string_val)


def model(text):
    if not re.fullmatch(r"[^/:]+(/versions/\d+)?", text):
        raise argparse.ArgumentTypeError(f"must be NAME or NAME/versions/N, not {text!r}")
    return text


def seconds(text):
    if not float(text) > 0:
        raise argparse.ArgumentTypeError(f"must be above 0, not {text}")
    return float(text)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("blurred", type=pathlib.Path, help="PNG, JPEG, GIF, BMP or WebP")
    parser.add_argument("restored", type=pathlib.Path, help="the PNG to write")
    parser.add_argument("--protocol", choices=PORTS, default="rest", help="default: %(default)s")
    parser.add_argument("--server", metavar="HOST:PORT", help="default: localhost, 8501 for REST, 8500 for gRPC")
    parser.add_argument(
        "--model", type=model, default="concat_se", help="NAME or NAME/versions/N (default: %(default)s)"
    )
    parser.add_argument("--timeout", type=seconds, default=120, help="in seconds (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    return parser.parse_args()


def main(arguments):
    if arguments.restored.exists() and not arguments.overwrite:
        raise ServerError(f"{arguments.restored} is there already (--overwrite replaces it)")
    if arguments.restored.suffix.lower() != ".png":
        raise ServerError(f"What comes back is a PNG: {arguments.restored} should end in .png")
    restore = {"rest": restore_by_rest, "grpc": restore_by_grpc}[arguments.protocol]
    server = arguments.server or f"localhost:{PORTS[arguments.protocol]}"
    (restored,) = restore([arguments.blurred.read_bytes()], server, arguments.model, arguments.timeout)
    partial = arguments.restored.with_suffix(f".partial-{os.getpid()}")
    partial.write_bytes(restored)
    partial.replace(arguments.restored)
    print(f"{arguments.restored}  ({len(restored) / 1e6:.1f} MB)")


if __name__ == "__main__":
    try:
        main(parse_arguments())
    except (ServerError, ImportError, OSError) as error:
        sys.exit(f"{pathlib.Path(sys.argv[0]).name}: error: {error}")
