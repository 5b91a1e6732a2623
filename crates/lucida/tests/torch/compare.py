"""Checks torchvision's networks against PyTorch, outside the test suite (the files are large).

    cargo build --release -p lucida-programs --bin compare_torch
    python tests/torch/compare.py target/release/compare_torch [NETWORK ...]

Each network gets random weights, is saved in all forms, and is run on random images by PyTorch and by Lucida, which
must identify the network from the file. Files written by Lucida are loaded with `weights_only=True`, and must be bit-identical.
Needs torch, torchvision and safetensors.
"""

import os
import subprocess
import sys
import tempfile
from collections import OrderedDict

import torch
import torchvision
from safetensors.torch import save_file

# Lucida's name, torchvision's name, classes, height, width, and whether the file alone identifies the network at this size.
CASES = [
    ("vgg11", "vgg11", 1000, 224, 224),
    ("vgg13", "vgg13", 1000, 224, 224),
    ("vgg16", "vgg16", 1000, 224, 224),
    ("vgg19", "vgg19", 1000, 224, 224),
    ("vgg11-bn", "vgg11_bn", 1000, 224, 224),
    ("vgg13-bn", "vgg13_bn", 1000, 224, 224),
    ("vgg16-bn", "vgg16_bn", 1000, 224, 224),
    ("vgg19-bn", "vgg19_bn", 1000, 224, 224),
    ("alexnet", "alexnet", 1000, 224, 224),
    ("squeezenet1-0", "squeezenet1_0", 1000, 224, 224),
    ("squeezenet1-1", "squeezenet1_1", 1000, 224, 224),
    ("resnet18", "resnet18", 1000, 224, 224),
    ("resnet34", "resnet34", 1000, 224, 224),
    ("resnet50", "resnet50", 1000, 224, 224),
    ("resnet101", "resnet101", 1000, 224, 224),
    ("resnet152", "resnet152", 1000, 224, 224),
    ("densenet121", "densenet121", 1000, 224, 224),
    ("inception-v3-torch", "inception_v3", 1000, 299, 299),
    # Other sizes and numbers of classes.
    ("alexnet", "alexnet", 7, 200, 301),
    ("vgg11-bn", "vgg11_bn", 7, 160, 203),
    ("squeezenet1-0", "squeezenet1_0", 7, 97, 122),
    ("squeezenet1-1", "squeezenet1_1", 7, 21, 58),
    ("resnet18", "resnet18", 7, 97, 122),
    ("resnet50", "resnet50", 7, 33, 150),
    ("densenet121", "densenet121", 7, 97, 150),
    ("inception-v3-torch", "inception_v3", 7, 139, 180),
    # One or two of each family whose layers are named after the modules.
    ("mobilenet-v2-torch", "mobilenet_v2", 1000, 224, 224),
    ("mobilenet-v3-large-torch", "mobilenet_v3_large", 1000, 224, 224),
    ("mobilenet-v3-small-torch", "mobilenet_v3_small", 1000, 224, 224),
    ("efficientnet-b0-torch", "efficientnet_b0", 1000, 224, 224),
    ("efficientnet-b5-torch", "efficientnet_b5", 7, 97, 122),
    ("efficientnet-v2-s-torch", "efficientnet_v2_s", 7, 97, 122),
    ("mnasnet0-5", "mnasnet0_5", 1000, 224, 224),
    ("mnasnet1-0", "mnasnet1_0", 7, 97, 122),
    ("resnext50-32x4d", "resnext50_32x4d", 1000, 224, 224),
    ("wide-resnet50-2", "wide_resnet50_2", 7, 97, 122),
    ("regnet-y-400mf", "regnet_y_400mf", 1000, 224, 224),
    ("regnet-x-8gf", "regnet_x_8gf", 7, 97, 122),
    ("shufflenet-v2-x0-5", "shufflenet_v2_x0_5", 1000, 224, 224),
    ("shufflenet-v2-x1-5", "shufflenet_v2_x1_5", 7, 97, 122),
    ("densenet161", "densenet161", 7, 97, 122),
    ("densenet169", "densenet169", 1000, 224, 224),
    ("googlenet", "googlenet", 1000, 224, 224),
    ("convnext-tiny-torch", "convnext_tiny", 1000, 224, 224),
]

# Parts that are used in training only.
AUXILIARY = ("AuxLogits.", "aux1.", "aux2.")


def network(name, classes):
    torch.manual_seed(len(name))
    more = {"init_weights": False} if name in ("inception_v3", "googlenet") else {}
    net = getattr(torchvision.models, name)(weights=None, num_classes=classes, **more)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.1)
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
        elif getattr(module, "bias", None) is not None:
            torch.nn.init.normal_(module.bias, 0, 0.05)
    return net.eval()


def load(net, state, strict=True):
    """Loads values; MNASNet requires a dictionary with the version of its modules."""
    state = OrderedDict(state)
    state._metadata = net.state_dict()._metadata
    net.load_state_dict(state, strict=strict)


def main():
    program, chosen = sys.argv[1], sys.argv[2:]
    for ours, theirs, classes, height, width in CASES:
        if chosen and ours not in chosen:
            continue
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            net = network(theirs, classes)
            # Copy the values: loading others into the network would change them.
            state = {k: v.clone() for k, v in net.state_dict().items()}
            inputs = torch.randn(2, 3, height, width)
            default = height == width and classes == 1000

            def record(name):
                path = os.path.join(folder, name)
                tensors = {"input": inputs.permute(0, 2, 3, 1).contiguous(), "logits": net(inputs)}
                save_file(tensors, path)
                return path

            def run(what, weights, outputs, *more):
                if not default and not more:
                    more = (ours,)
                done = subprocess.run([program, weights, outputs, *more], capture_output=True, text=True)
                print(f"{theirs} {classes} {height}x{width} {what}: {done.stdout.strip()}{done.stderr.strip()}", flush=True)
                assert done.returncode == 0
                return done

            path = os.path.join(folder, "weights.pth")
            outputs = record("float32.safetensors")
            torch.save(state, path)
            run("zip", path, outputs)
            saved = os.path.join(folder, "saved.pth")
            run("saved", path, outputs, ours, saved)
            back = torch.load(saved, weights_only=True)
            left = {k for k in state if not k.endswith("num_batches_tracked") and not k.startswith(AUXILIARY)}
            assert set(back) == left, set(back) ^ left
            assert all(torch.equal(back[k], state[k]) for k in back)
            if theirs == "inception_v3":
                # Without the parts that are used in training only.
                net.AuxLogits = None
            if theirs == "googlenet":
                net.aux1 = net.aux2 = None
            load(net, back, strict=False)
            os.remove(saved)
            if default:
                torch.save(state, path, _use_new_zipfile_serialization=False)
                run("legacy", path, outputs)
                torch.save({"epoch": 3, "state_dict": {"module." + k: v for k, v in state.items()}}, path)
                run("checkpoint of DataParallel", path, outputs)
                save_file(state, path)
                run("safetensors", path, outputs)
                for kind in [torch.float16, torch.bfloat16]:
                    half = {k: v.to(kind) if v.is_floating_point() else v for k, v in state.items()}
                    whole = {k: v.float() if v.is_floating_point() else v for k, v in half.items()}
                    load(net, whole, strict=False)
                    rounded = record("rounded.safetensors")
                    torch.save(half, path)
                    run(str(kind), path, rounded)
                    if kind == torch.float16:
                        save_file(half, path)
                        run("safetensors float16", path, rounded)
                load(net, state, strict=False)
                if theirs.startswith("vgg"):
                    # As in timm: dense layers as convolutions.
                    timm = {"classifier.0": "pre_logits.fc1", "classifier.3": "pre_logits.fc2", "classifier.6": "head.fc"}
                    named = {}
                    for key, value in state.items():
                        module, leaf = key.rsplit(".", 1)
                        if key == "classifier.0.weight":
                            value = value.reshape(4096, 512, 7, 7)
                        if key == "classifier.3.weight":
                            value = value.reshape(4096, 4096, 1, 1)
                        named[f"{timm.get(module, module)}.{leaf}"] = value
                    save_file(named, path)
                    run("timm's names", path, outputs)


main()
