"""A stand-in for `tensorflow_model_server`, for loopback only: its REST and gRPC APIs before a TF1 session.

python tests/serving/double.py saved_models                 REST on port 8501, gRPC on 8500

The real server is a C++ program that no package registry has. This one loads each model
of `models.config` as the server does, by `saved_model.loader` into a TF1 session, runs
the warm-up requests, and answers Predict, GetModelStatus and GetModelMetadata through the
official gRPC stubs and the REST forms that the server documents.

What it cannot show: the server's C++ itself, its own TensorFlow version, its limits and
timeouts (REST gives up after 30 s there, never here), batching, version changes while
running (the newest version at the start is served, as are others that are asked for by
number), labels, Classify and Regress, TLS, and its speed under load: Python parses the
JSON here.
"""

import argparse
import base64
import concurrent.futures
import http.server
import json
import os
import pathlib
import re
import sys
import threading
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import json_format, text_format
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)
from tensorflow_serving.config import model_server_config_pb2

# The server's mapping from its status codes to HTTP's.
HTTP_STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.UNAVAILABLE: 503,
}


class Refused(Exception):
    """A request that cannot be answered: a gRPC status code and a text."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


class Model:
    """One version of a model in a TF1 session."""

    def __init__(self, folder, warm=True):
        self.version = int(folder.name)
        self.session = tf.compat.v1.Session(graph=tf.Graph())
        with self.session.graph.as_default():
            meta = tf.compat.v1.saved_model.loader.load(self.session, ["serve"], str(folder))
        self.signatures = meta.signature_def
        requests = folder / "assets.extra/tf_serving_warmup_requests"
        if warm and requests.exists():
            # The iterator lives in eager mode, beside the session's graph.
            for record in tf.data.TFRecordDataset(str(requests)).as_numpy_iterator():
                request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
                self.run(
                    request.model_spec.signature_name,
                    {name: tf.make_ndarray(value) for name, value in request.inputs.items()},
                )

    def signature(self, name):
        name = name or "serving_default"
        if name not in self.signatures:
            raise Refused(grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
        return self.signatures[name]

    def run(self, signature_name, inputs):
        """Arrays by the signature's input names to arrays by its output names."""
        signature = self.signature(signature_name)
        if set(inputs) != set(signature.inputs):
            raise Refused(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"input keys {sorted(inputs)} are not the signature's {sorted(signature.inputs)}",
            )
        fetches = {name: info.name for name, info in signature.outputs.items()}
        try:
            return self.session.run(fetches, {signature.inputs[name].name: value for name, value in inputs.items()})
        except tf.errors.OpError as error:
            codes = {code.value[0]: code for code in grpc.StatusCode}
            raise Refused(codes[error.error_code], error.message) from error
        except ValueError as error:  # a shape that the placeholder cannot take
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error


class Server:
    """The models of a `models.config`, loaded as they are asked for the first time or at the start."""

    def __init__(self, folder, warm):
        config = text_format.Parse((folder / "models.config").read_text(), model_server_config_pb2.ModelServerConfig())
        # What the container sees below /models is the folder here.
        self.bases = {
            model.name: folder / pathlib.PurePosixPath(model.base_path).relative_to("/models")
            for model in config.model_config_list.config
        }
        self.warm = warm
        self.loaded = {}
        self.lock = threading.Lock()
        for name in self.bases:
            self.model(name)

    def model(self, name, version=None):
        if name not in self.bases:
            raise Refused(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: Latest({name})")
        numbers = [int(path.name) for path in self.bases[name].iterdir() if path.name.isdigit()]
        version = max(numbers) if version is None else version
        if version not in numbers:
            raise Refused(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: Specific({name}, {version})")
        with self.lock:
            if (name, version) not in self.loaded:
                begun = time.perf_counter()
                self.loaded[name, version] = Model(self.bases[name] / str(version), self.warm)
                print(f"{name} version {version} loaded in {time.perf_counter() - begun:.1f} s", flush=True)
            return self.loaded[name, version]

    def by_spec(self, spec):
        return self.model(spec.name, spec.version.value if spec.HasField("version") else None)

    def status(self, name, version=None):
        reply = get_model_status_pb2.GetModelStatusResponse()
        reply.model_version_status.add(
            version=self.model(name, version).version, state="AVAILABLE"
        ).status.SetInParent()
        return reply

    def metadata(self, name, version=None):
        model = self.model(name, version)
        reply = get_model_metadata_pb2.GetModelMetadataResponse()
        reply.model_spec.name = name
        reply.model_spec.version.value = model.version
        signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=model.signatures)
        reply.metadata["signature_def"].Pack(signatures)
        return reply


# gRPC


def refusing(method):
    """A refused request becomes the call's status."""

    def answer(self, request, context):
        try:
            return method(self, request)
        except Refused as error:
            return context.abort(error.code, str(error))

    return answer


class Prediction(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, server):
        self.server = server

    @refusing
    def Predict(self, request):
        model = self.server.by_spec(request.model_spec)
        outputs = model.run(
            request.model_spec.signature_name,
            {name: tf.make_ndarray(value) for name, value in request.inputs.items()},
        )
        reply = predict_pb2.PredictResponse(model_spec=request.model_spec)
        reply.model_spec.version.value = model.version
        for name, value in outputs.items():
            reply.outputs[name].CopyFrom(tf.make_tensor_proto(value))
        return reply

    @refusing
    def GetModelMetadata(self, request):
        return self.server.metadata(request.model_spec.name, self.server.by_spec(request.model_spec).version)


class Status(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, server):
        self.server = server

    @refusing
    def GetModelStatus(self, request):
        return self.server.status(request.model_spec.name, self.server.by_spec(request.model_spec).version)


# REST


def from_json(value, dtype):
    """A JSON value as an array; strings may come as {"b64": ...}."""

    def unwrap(item):
        if isinstance(item, list):
            return [unwrap(each) for each in item]
        if isinstance(item, dict) and set(item) == {"b64"}:
            return base64.b64decode(item["b64"])
        return item.encode() if isinstance(item, str) else item

    try:
        return np.array(unwrap(value), object if dtype == tf.string else dtype.as_numpy_dtype)
    except (ValueError, TypeError) as error:
        raise Refused(grpc.StatusCode.INVALID_ARGUMENT, f"JSON Value is not a {dtype.name} tensor: {error}") from error


def to_json(array, name):
    """An array as a JSON value; bytes as {"b64": ...} if the output's name says so, else as text."""

    def wrap(item):
        if isinstance(item, list):
            return [wrap(each) for each in item]
        if isinstance(item, bytes):
            return {"b64": base64.b64encode(item).decode()} if name.endswith("_bytes") else item.decode()
        return item

    return wrap(array.tolist())


def predict_json(model, body):
    """The row form (`instances` to `predictions`) and the column form (`inputs` to `outputs`)."""
    signature = model.signature(body.get("signature_name"))
    dtypes = {name: tf.as_dtype(info.dtype) for name, info in signature.inputs.items()}
    rows = "instances" in body
    if rows == ("inputs" in body):
        raise Refused(grpc.StatusCode.INVALID_ARGUMENT, "Request needs either 'instances' or 'inputs'")
    if rows:
        named = isinstance(body["instances"][0], dict) and set(body["instances"][0]) != {"b64"}
        columns = (
            {name: [row[name] for row in body["instances"]] for name in dtypes}
            if named
            else {next(iter(dtypes)): body["instances"]}
        )
    else:
        named = isinstance(body["inputs"], dict) and set(body["inputs"]) != {"b64"}
        columns = body["inputs"] if named else {next(iter(dtypes)): body["inputs"]}
    if not set(columns) <= set(dtypes):
        raise Refused(grpc.StatusCode.INVALID_ARGUMENT, f"inputs are {sorted(dtypes)}, not {sorted(columns)}")
    outputs = model.run(
        body.get("signature_name"), {name: from_json(value, dtypes[name]) for name, value in columns.items()}
    )
    values = {name: to_json(value, name) for name, value in outputs.items()}
    single = len(values) == 1  # then its name is left out
    if not rows:
        return {"outputs": next(iter(values.values())) if single else values}
    if single:
        return {"predictions": next(iter(values.values()))}
    return {"predictions": [dict(zip(values, row)) for row in zip(*values.values())]}


class Rest(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(r"(?P<name>[^/:]+)(/versions/(?P<version>\d+))?(?P<metadata>/metadata)?", self.describe)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(
            r"(?P<name>[^/:]+)(/versions/(?P<version>\d+))?:predict", lambda found, model: self.predict(model, body)
        )

    def describe(self, found, model):
        tell = self.server.models.metadata if found["metadata"] else self.server.models.status
        return json.loads(
            json_format.MessageToJson(
                tell(found["name"], model.version),
                preserving_proto_field_name=True,
                always_print_fields_with_no_presence=True,
            )
        )

    def predict(self, model, body):
        try:
            parsed = json.loads(body)
        except ValueError as error:
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, f"JSON Parse error: {error}") from error
        try:
            return predict_json(model, parsed)
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise Refused(
                grpc.StatusCode.INVALID_ARGUMENT, f"JSON does not have the form of a request: {error}"
            ) from error

    def answer(self, pattern, tell):
        found = re.fullmatch("/v1/models/" + pattern, self.path)
        try:
            if not found:
                raise Refused(grpc.StatusCode.INVALID_ARGUMENT, f"Malformed request: {self.command} {self.path}")
            version = found["version"] and int(found["version"])
            status, content = 200, tell(found, self.server.models.model(found["name"], version))
        except Refused as error:
            status, content = HTTP_STATUS.get(error.code, 500), {"error": str(error)}
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *arguments):
        pass


def serve(folder, rest_port=0, grpc_port=0, warm=True):
    """Starts both servers on loopback; returns (REST port, gRPC port) once all models are loaded."""
    models = Server(pathlib.Path(folder), warm)
    sizes = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]  # as the real one
    rpc = grpc.server(concurrent.futures.ThreadPoolExecutor(4), options=sizes)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Prediction(models), rpc)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(Status(models), rpc)
    grpc_port = rpc.add_insecure_port(f"localhost:{grpc_port}")
    rpc.start()
    rest = http.server.ThreadingHTTPServer(("localhost", rest_port), Rest)
    rest.models, rest.rpc = models, rpc
    threading.Thread(target=rest.serve_forever, daemon=True).start()
    return rest.server_port, grpc_port


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default="saved_models", help="holds models.config (default: %(default)s)")
    parser.add_argument("--rest-port", type=int, default=8501)
    parser.add_argument("--grpc-port", type=int, default=8500)
    parser.add_argument("--cold", action="store_true", help="leave the warm-up requests out")
    arguments = parser.parse_args()
    if not (pathlib.Path(arguments.folder) / "models.config").exists():
        sys.exit(f"No models.config in {arguments.folder}: train.py and export.py write it")
    ports = serve(arguments.folder, arguments.rest_port, arguments.grpc_port, not arguments.cold)
    print(f"REST on localhost:{ports[0]}, gRPC on localhost:{ports[1]}; Ctrl-C ends it", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
