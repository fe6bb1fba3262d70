"""Exports networks for other programs: TensorFlow Serving, ONNX Runtime, OpenVINO, LiteRT."""
