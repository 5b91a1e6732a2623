"""Writes the test files from PyTorch, with the outputs of PyTorch.

python torch_fixtures.py FOLDER   (made with torch 2.15, onnx 1.23, onnxruntime 1.32)

Inputs and outputs in `torch.json` are channels first, as in ONNX.
"""
import json
import sys

import torch
from torch import nn

folder = sys.argv[1]
torch.manual_seed(7)


class Residual(nn.Module):
    """A sum, a concatenation, pooling with padding, and a flattened image before a dense layer."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.left = nn.Conv2d(4, 4, 3, padding=1)
        self.right = nn.Conv2d(4, 4, 1)
        self.act = nn.LeakyReLU(0.1)
        self.relu6 = nn.ReLU6()
        self.pool = nn.MaxPool2d(3, 2, padding=1, ceil_mode=True)
        self.mean = nn.AvgPool2d(2, 1, padding=1, count_include_pad=True)
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(8 * 5 * 6, 6)
        self.last = nn.Linear(6, 3)

    def forward(self, x):
        x = (x - 0.5) / torch.tensor([0.2, 0.25, 0.3]).view(1, 3, 1, 1)
        x = self.act(self.norm(self.stem(x)))
        y = self.left(x) + self.right(x)
        # Max pooling of negative values, including at the border.
        z = torch.cat([self.pool(y), self.pool(self.relu6(x * 3))], 1)
        z = self.mean(z)
        z = torch.flatten(z, 1)
        z = torch.tanh(self.head(self.drop(z)))
        return torch.softmax(self.last(z), 1)


class Pooled(nn.Module):
    """The end of SqueezeNet and ResNet: pooled to one pixel, and reshaped to a vector by `view`."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(2, 5, (3, 2), bias=True), nn.Hardtanh(-0.5, 0.75), nn.ZeroPad2d((0, 1, 2, 0)),
            nn.AvgPool2d(3, 2, padding=1, count_include_pad=False, ceil_mode=True), nn.Conv2d(5, 4, 1), nn.Sigmoid())
        self.classifier = nn.Linear(4, 2)

    def forward(self, x):
        x = self.features(x)
        x = nn.functional.adaptive_avg_pool2d(x, 1) + x.mean((2, 3), keepdim=True)
        return self.classifier(x.view(x.size(0), -1))


expected = {}
for name, model, shape, options in [
    ("residual", Residual(), (2, 3, 12, 15), {"dynamic_axes": {"x": {0: "batch"}}}),
    ("residual_unfolded", Residual(), (2, 3, 12, 15), {"do_constant_folding": False, "opset_version": 11}),
    ("pooled", Pooled(), (2, 2, 9, 8), {"dynamic_axes": {"x": {0: "batch"}}, "opset_version": 18}),
]:
    model.eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(-1.5, 1.5)
            module.bias.data.uniform_(-1, 1)
    x = torch.randint(0, 100, shape) / 100
    torch.onnx.export(model, (x,), f"{folder}/{name}.onnx", input_names=["x"], dynamo=False, **options)
    expected[name] = {"input": [round(v, 2) for v in x.flatten().tolist()],
                      "output": [round(v, 7) for v in model(x).flatten().tolist()]}
with open(f"{folder}/torch.json", "w") as out:
    json.dump(expected, out)
