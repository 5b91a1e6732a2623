"""Runs an ONNX file in ONNX Runtime: the arrays of its outputs, one after the other, in float32.

    python3 onnx_runtime.py MODEL.onnx INPUT.npy OUTPUTS.bin

The file must pass the checker of the package onnx as well, with the shapes that it infers.
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
