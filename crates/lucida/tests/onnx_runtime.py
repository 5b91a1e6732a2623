"""Runs an ONNX file in ONNX Runtime, and writes its concatenated outputs in float32.

    python3 onnx_runtime.py MODEL.onnx INPUT.npy OUTPUTS.bin

The file must also pass the checker of the package onnx, including its shape inference.
"""

import sys

import numpy
import onnx
import onnxruntime

model, values, outputs = sys.argv[1:]
onnx.checker.check_model(model, full_check=True)
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
results = session.run(None, {session.get_inputs()[0].name: numpy.load(values)})
with open(outputs, "wb") as file:
    for result in results:
        file.write(result.astype("<f4").tobytes())
