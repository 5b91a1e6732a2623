"""Writes a table of model files: which ones Lucida reads, trains and writes, and how the outputs of the written files in
Keras, ONNX Runtime and PyTorch differ.

    python bench/model_files.py LUCIDA ../shared/golden/models PHOTOS FOLDER > RECORD.md

LUCIDA is the binary, PHOTOS a folder of photos with a sub-folder per class, and FOLDER the output folder. Requires keras,
tensorflow, torch, onnxruntime, and safetensors. Numbers are the largest difference from an output of the framework that
wrote the original file, relative to the largest output.
"""

import os
import subprocess
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras  # noqa: E402
import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
import torch  # noqa: E402
from safetensors import safe_open  # noqa: E402

KINDS = ["model.keras", "model.h5", "keras_model.h5", "classic.onnx", "dynamo.onnx", "tf2onnx.onnx", "model.pth", "timm.safetensors"]
WRITTEN = ["keras", "h5", "onnx", "pth"]


def channels_last(array):
    return np.moveaxis(array, 1, -1) if array.ndim > 2 else array


def channels_first(array):
    return np.moveaxis(array, -1, 1) if array.ndim > 2 else array


def expected(folder):
    """Returns the recorded inputs and outputs, with channels last."""
    with safe_open(folder / "expected.safetensors", "np") as tensors:
        first = tensors.metadata()["layout"] == "NCHW"
        named = lambda word: sorted(n for n in tensors.keys() if n == word or n.startswith(word + "."))
        arrays = [[tensors.get_tensor(name) for name in named(word)] for word in ("input", "output")]
    return [[channels_last(a) if first else a for a in group] for group in arrays]


def softmax(values):
    exponentials = np.exp(values - values.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def difference(got, wanted):
    """Returns the relative difference; of probabilities if the record has logits, because known networks end in a softmax."""
    got = np.asarray(got)
    if got.shape != wanted.shape:
        got = channels_last(got)
    part = np.abs(got - wanted).max() / np.abs(wanted).max()
    if wanted.ndim == 2 and part > 1e-3:
        part = np.abs(got - softmax(wanted)).max() / softmax(wanted).max()
    return part


def in_keras(path, inputs, outputs):
    model = keras.models.load_model(path, compile=False)
    found = model(inputs if len(inputs) > 1 else inputs[0], training=False)
    found = found if isinstance(found, (list, tuple)) else [found]
    return f"{max(map(difference, found, outputs)):.1e}"


def in_onnxruntime(path, inputs, outputs):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    fed = {}
    for wanted, array in zip(session.get_inputs(), inputs):
        last = wanted.shape[-1] == array.shape[-1]
        fed[wanted.name] = array if last else channels_first(array)
    return f"{max(map(difference, session.run(None, fed), outputs)):.1e}"


def in_torch(path, original):
    """Compares the tensors with those of the original state dictionary, by name."""
    written = torch.load(path, weights_only=True)
    if original.name != "model.pth":
        return f"{len(written)} tensors"
    read = {name: value for name, value in torch.load(original, weights_only=True).items() if "num_batches" not in name}
    written = {name: value for name, value in written.items() if "num_batches" not in name}
    same = read.keys() == written.keys() and all(torch.equal(value, written[name]) for name, value in read.items())
    return "the same" if same else "OTHER TENSORS"


def refusal(output):
    line = next((line for line in output.splitlines() if line.startswith("error: ")), output.strip())
    return line.removeprefix("error: ").split(": ", 1)[-1]


def main():
    lucida, golden, photos, to = sys.argv[1], *map(Path, sys.argv[2:5])
    onnxruntime.set_default_logger_severity(3)
    to.mkdir(parents=True, exist_ok=True)
    run = lambda *words: subprocess.run([lucida, *map(str, words)], capture_output=True, text=True)
    refused = []
    print("| file | trains | .keras in Keras | .h5 in Keras | .onnx in ONNX Runtime | .pth in PyTorch |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for folder in sorted(path for path in golden.iterdir() if path.is_dir()):
        inputs, outputs = expected(folder)
        for original in (folder / kind for kind in KINDS if (folder / kind).exists()):
            name = f"{folder.name}/{original.name}"
            # A state dictionary does not store the input size.
            size = ["--size", f"{inputs[0].shape[1]}x{inputs[0].shape[2]}"] if original.suffix in (".pth", ".safetensors") else []
            trained = run("train", photos, "--base", original, "--epochs", 1, "--out", to / "run", "--force", "--quiet")
            cells = ["yes" if trained.returncode == 0 else "-"]
            if trained.returncode:
                refused.append((name, "train", refusal(trained.stderr)))
            for ending in WRITTEN:
                path = to / f"{folder.name}-{original.name.replace('.', '-')}.{ending}"
                done = run("weights", "convert", original, path, "--force", *size)
                if done.returncode:
                    refused.append((name, f".{ending}", refusal(done.stderr)))
                    cells.append("-")
                elif ending == "pth":
                    cells.append(in_torch(path, original))
                else:
                    cells.append((in_onnxruntime if ending == "onnx" else in_keras)(path, inputs, outputs))
            print(f"| `{name}` | {' | '.join(cells)} |", flush=True)
    print("\n## What is refused, and what is said\n")
    for name, what, why in refused:
        print(f"- `{name}`, {what}: {why}")


main()
