"""Times forward passes of a network in another runtime, like `bench/programs/inference.rs` in Lucida.

    inference.py onnxruntime|openvino|torch NETWORK FILE BATCH SIDE [THREADS]

NETWORK is a name in torchvision, or style-small or style-base, and FILE the network in ONNX, which
`inference.py export NETWORK FILE SIDE` writes with random weights, for images of SIDE x SIDE pixels.
"""

import importlib.metadata
import pathlib
import sys

import numpy as np

from peers import report


def network(name):
    """Returns the network with random weights from a fixed seed."""
    import torch
    import torchvision

    torch.manual_seed(1)
    kind, _, size = name.partition("-")
    if kind == "style":
        from networks_torch import feed_forward_style

        return feed_forward_style(size).eval()
    return getattr(torchvision.models, name)(weights=None).eval()


def export(name, file, side):
    """Writes the network as ONNX, with a dynamic batch size."""
    import torch

    pathlib.Path(file).parent.mkdir(parents=True, exist_ok=True)
    names = {"input_names": ["images"], "output_names": ["scores"]}
    image = torch.rand(1, 3, side, side)
    torch.onnx.export(network(name), image, file, dynamo=False, dynamic_axes={"images": {0: "batch"}}, **names)


def onnxruntime(_name, file, images, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"images": images})


def openvino(_name, file, images, threads):
    """In 32-bit floats, like the others: on processors with bfloat16, it would use that by default."""
    import openvino

    core = openvino.Core()
    model = core.read_model(file)
    model.reshape(list(images.shape))
    hints = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    request = core.compile_model(model, "CPU", hints).create_infer_request()
    return lambda: request.infer([images])


def torch(name, _file, images, threads):
    """With channels last, its fastest layout on a CPU."""
    import torch

    torch.set_num_threads(threads)
    model = network(name).to(memory_format=torch.channels_last)
    batch = torch.from_numpy(images).to(memory_format=torch.channels_last)

    def run():
        with torch.inference_mode():
            model(batch)

    return run


RUNTIMES = {"onnxruntime": ("ONNX Runtime", onnxruntime), "openvino": ("OpenVINO", openvino), "torch": ("PyTorch", torch)}


def main():
    runtime, name, file, *rest = sys.argv[1:]
    if runtime == "export":
        return export(name, file, int(rest[0]))
    batch, side, threads = int(rest[0]), int(rest[1]), int(rest[2]) if len(rest) > 2 else 2
    title, prepare = RUNTIMES[runtime]
    images = np.random.default_rng(1).random((batch, 3, side, side), np.float32)
    version = importlib.metadata.version(runtime).split("+")[0]
    runs = (10, 50) if batch * side * side <= 512 * 512 else (2, 8)
    report(f"{title} {version}", prepare(name, file, images, threads), *runs)


if __name__ == "__main__":
    main()
