"""Loads the files that the test `golden_models` wrote from Keras models, and compares their outputs with the originals'.

    cargo test -p lucida --test golden_models
    python golden.py TARGET/tmp/golden_keras ../shared/golden/models

Prints a row per file: the largest output difference relative to the largest output, or why Keras cannot load it. Checked
with Keras 3.15 on TensorFlow 2.21.
"""

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import keras.src.applications.convnext  # for its layer LayerScale
import numpy as np
from safetensors.numpy import load_file

written, golden = map(pathlib.Path, sys.argv[1:3])
failed = 0
for path in sorted([*written.glob("*.keras"), *written.glob("*.h5")]):
    expected = load_file(golden / path.name.split(".")[0] / "expected.safetensors")

    def all_of(name):
        return [expected[key] for key in sorted(expected) if key == name or key.startswith(f"{name}.")]

    try:
        model = keras.models.load_model(path, compile=False)
        inputs = all_of("input")
        outputs = model(inputs if len(inputs) > 1 else inputs[0], training=False)
        outputs = [np.asarray(output) for output in (outputs if isinstance(outputs, (list, tuple)) else [outputs])]
        differences = [np.abs(a - b).max() / np.abs(b).max() for a, b in zip(outputs, all_of("output"), strict=True)]
        failed += max(differences) > 1e-4
        print(f"| `{path.name}` | {max(differences):.1e} |", flush=True)
    except Exception as problem:
        failed += 1
        print(f"| `{path.name}` | {type(problem).__name__}: {str(problem).strip().splitlines()[0][:150]} |", flush=True)
sys.exit(min(failed, 1))
