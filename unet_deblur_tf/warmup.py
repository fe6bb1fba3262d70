"""Requests that TensorFlow Serving runs while it loads a version, so that the first user does not wait for them.

The file's name, place and format are TensorFlow Serving's ("SavedModel Warmup" in its documentation).
"""

import tensorflow as tf

FILE = "tf_serving_warmup_requests"  # in a version's assets.extra/
SIZES = ((720, 1280),)  # (height, width)


def available():
    """Whether the protocol's messages are there: the package tensorflow-serving-api, in the extra `serving`."""
    try:
        import tensorflow_serving.apis.prediction_log_pb2  # noqa: F401
    except ImportError:
        return False
    return True


def write_requests(path, sizes=SIZES):
    """Writes one request per signature and size, of grey pictures: some bytes each, whatever the size.

    Args:
        path: of the TFRecord file of `PredictionLog`s.
        sizes: (height, width) of the pictures; what is expected most. The libraries below
            TensorFlow prepare themselves for each size anew.

    Raises:
        ImportError: without tensorflow-serving-api.
    """
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    with tf.io.TFRecordWriter(str(path)) as writer:
        for height, width in sizes:
            # A tensor's last value stands for all that follow.
            tensor = tf.make_tensor_proto(0.5, tf.float32, (1, height, width, 3))
            file = tf.io.encode_png(tf.fill((height, width, 3), tf.constant(128, tf.uint8))).numpy()
            for signature, name, value in (
                ("serving_default", "image", tensor),
                ("serving_bytes", "image_bytes", tf.make_tensor_proto([file])),
            ):
                request = predict_pb2.PredictRequest()
                request.model_spec.signature_name = signature
                request.inputs[name].CopyFrom(value)
                log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
                writer.write(log.SerializeToString())
