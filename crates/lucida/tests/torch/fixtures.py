"""Writes the small files of `tests/torch/files` and their `expected.json`: python tests/torch/fixtures.py

The same network in all forms of PyTorch's files. All weights are multiples of 1/8 below 4, which are exact in 16 bits.
Also prints the checksums of torchvision's names and shapes in `modules/tests.rs` (needs torchvision).
"""

import io
import json
import os
import zipfile

import torch
import torchvision
from torch import nn

FOLDER = os.path.join(os.path.dirname(__file__), "files")


def path(name):
    return os.path.join(FOLDER, name)


def network():
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3), nn.Softmax(1)
    )
    start = 0
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if tensor.is_floating_point():
                values = torch.arange(start, start + tensor.numel()) * 37 % 53 - 26
                values = values.abs() + 1 if name.endswith("running_var") else values
                tensor.copy_((values / 8).reshape(tensor.shape))
                start += tensor.numel()
    return net.eval()


def strided(state):
    """The same values as views: transposed, strided, at the end of a larger storage, two in one storage."""
    views = dict(state)
    kernel = state["0.weight"]
    views["0.weight"] = kernel.permute(3, 2, 0, 1).contiguous().permute(2, 3, 1, 0)
    views["5.weight"] = state["5.weight"].t().contiguous().t()
    twice = torch.full((8,), 99.0)
    twice[::2] = state["1.weight"]
    views["1.weight"] = twice[::2]
    both = torch.cat([torch.full((5,), 99.0), state["0.bias"], state["1.bias"]])
    views["0.bias"], views["1.bias"] = both[5:9], both[9:]
    assert not views["0.weight"].is_contiguous() and all(torch.equal(views[k], state[k]) for k in state)
    return views


def script():
    """Writes a TorchScript program, without the paths of its sources."""
    whole = io.BytesIO()
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), whole)
    with zipfile.ZipFile(whole) as archive, zipfile.ZipFile(path("script.pt"), "w") as out:
        for member in archive.infolist():
            if not member.filename.endswith(".debug_pkl"):
                out.writestr(zipfile.ZipInfo(member.filename), archive.read(member))


def checksum(net):
    """FNV-1a of the sorted lines `name [shape]` of the tensors that inference needs."""
    sum = 0xCBF29CE484222325
    needed = {k: v for k, v in net.state_dict().items() if "num_batches" not in k and not k.startswith("AuxLogits.")}
    for line in sorted(f"{name} {list(tensor.shape)}" for name, tensor in needed.items()):
        for byte in f"{line}\n".encode():
            sum = (sum ^ byte) * 0x100000001B3 % 2**64
    return len(needed), sum


def main():
    net = network()
    state = net.state_dict()
    old = {"_use_new_zipfile_serialization": False}
    torch.save(state, path("zip.pth"))
    torch.save(state, path("legacy.pth"), **old)
    for name, kind in [("float16", torch.float16), ("bfloat16", torch.bfloat16), ("float64", torch.float64)]:
        torch.save({k: v.to(kind) if v.is_floating_point() else v for k, v in state.items()}, path(f"{name}.pth"))
    torch.save(strided(state), path("strided.pth"))
    torch.save(strided(state), path("strided_legacy.pth"), **old)
    torch.save(nn.DataParallel(net).state_dict(), path("data_parallel.pth"))
    parameters = dict(net.named_parameters())
    torch.save({k: parameters.get(k, v) for k, v in state.items()}, path("parameters.pth"))
    # A checkpoint with the state of an optimizer, in both formats: its storages are interleaved with the weights'.
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(1, 3, 6, 7)).sum().backward()
    checkpoint = {"epoch": 3, "arch": "small", "optimizer": optimizer.state_dict(), "state_dict": state}
    for parameter in net.parameters():
        optimizer.state[parameter] = {"exp_avg": torch.ones_like(parameter), "step": torch.tensor(1.0)}
    checkpoint["optimizer"] = optimizer.state_dict()
    torch.save(checkpoint, path("checkpoint.pth"))
    torch.save(checkpoint, path("checkpoint_legacy.pth"), **old)
    # Not state dictionaries: a module, whose class would have to be imported, and a TorchScript program.
    torch.save(net, path("module.pth"))
    script()
    inputs = (torch.arange(2 * 3 * 6 * 7) * 29 % 31 / 16 - 1).reshape(2, 3, 6, 7)
    with torch.no_grad():
        expected = {
            "input": inputs.permute(0, 2, 3, 1).flatten().tolist(),
            "output": net(inputs).flatten().tolist(),
            "tensors": {k: v.flatten().tolist() for k, v in state.items()},
        }
    with open(path("expected.json"), "w") as file:
        json.dump(expected, file)
    models = torchvision.models
    for name in ["vgg11", "vgg13", "vgg16", "vgg19", "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn", "alexnet"] + [
        "squeezenet1_0", "squeezenet1_1", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "densenet121",
        "inception_v3",
    ]:  # fmt: skip
        more = {"init_weights": False} if name == "inception_v3" else {}
        with torch.device("meta"):
            count, sum = checksum(getattr(models, name)(weights=None, **more))
        print(f'    ("{name}", {count}, 0x{sum:016x}),')


main()
