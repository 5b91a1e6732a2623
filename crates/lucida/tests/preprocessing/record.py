"""Records how Keras and torchvision prepare images for their networks, for `src/data/preprocess/tests.rs`.

    python record.py > networks.tsv

Made for Keras 3.15 and torchvision 0.29. Columns: Lucida's name of the network; Keras's name of the model, or -; the side of
torchvision's input; how other aspect ratios are fitted, and the interpolation; the result for the pixel (10, 100, 250).
For torchvision, the weights are IMAGENET1K_V1.
"""

import importlib
import inspect
import os

# TensorFlow and PyTorch cannot be loaded into the same process.
os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import torch
import torchvision
from torchvision.transforms.functional import InterpolationMode

PIXEL = [10, 100, 250]

# Lucida's name, Keras's class, and its module.
KERAS = [
    ("vgg16", "VGG16", "vgg16"),
    ("vgg19", "VGG19", "vgg19"),
    ("inception-v3", "InceptionV3", "inception_v3"),
    ("mobilenet", "MobileNet", "mobilenet"),
    ("mobilenet-v2", "MobileNetV2", "mobilenet_v2"),
    ("mobilenet-v3-small", "MobileNetV3Small", "mobilenet_v3"),
    ("mobilenet-v3-large", "MobileNetV3Large", "mobilenet_v3"),
    *[(f"efficientnet-b{n}", f"EfficientNetB{n}", "efficientnet") for n in range(8)],
    *[(f"efficientnet-v2-{n.lower()}", f"EfficientNetV2{n}", "efficientnet_v2") for n in "B0 B1 B2 B3 S M L".split()],
    *[(f"densenet{n}-keras", f"DenseNet{n}", "densenet") for n in (121, 169, 201)],
    *[(f"resnet{n}-keras", f"ResNet{n}", "resnet") for n in (50, 101, 152)],
    *[(f"resnet{n}v2", f"ResNet{n}V2", "resnet_v2") for n in (50, 101, 152)],
    ("xception", "Xception", "xception"),
    ("inception-resnet-v2", "InceptionResNetV2", "inception_resnet_v2"),
    ("nasnet-mobile", "NASNetMobile", "nasnet"),
    ("nasnet-large", "NASNetLarge", "nasnet"),
    *[(f"convnext-{n.lower()}-keras", f"ConvNeXt{n}", "convnext") for n in "Tiny Small Base Large XLarge".split()],
]
# Lucida appends "-torch" to torchvision's networks of families that Keras has as well.
BOTH = ("convnext", "efficientnet", "inception_v3", "mobilenet")
TORCHVISION = """
    vgg11 vgg13 vgg11_bn vgg13_bn vgg16_bn vgg19_bn alexnet squeezenet1_0 squeezenet1_1 resnet18 resnet34 resnet50 resnet101
    resnet152 densenet121 inception_v3 mobilenet_v2 mobilenet_v3_large mobilenet_v3_small efficientnet_b0 efficientnet_b1
    efficientnet_b2 efficientnet_b3 efficientnet_b4 efficientnet_b5 efficientnet_b6 efficientnet_b7 efficientnet_v2_s
    efficientnet_v2_m efficientnet_v2_l mnasnet0_5 mnasnet1_0 resnext50_32x4d resnext101_32x8d wide_resnet50_2
    wide_resnet101_2 regnet_y_400mf regnet_y_800mf regnet_y_1_6gf regnet_y_3_2gf regnet_y_8gf regnet_y_16gf regnet_y_32gf
    regnet_x_400mf regnet_x_800mf regnet_x_1_6gf regnet_x_3_2gf regnet_x_8gf regnet_x_16gf regnet_x_32gf shufflenet_v2_x0_5
    shufflenet_v2_x1_0 shufflenet_v2_x1_5 shufflenet_v2_x2_0 densenet161 densenet169 densenet201 googlenet convnext_tiny
    convnext_small convnext_base convnext_large
""".split()


def line(name, model, side, fit, interpolation, values):
    print(name, model, side, fit, interpolation, *(f"{value:.6f}" for value in values), sep="\t")


for name, build, module in KERAS:
    model = inspect.signature(getattr(keras.applications, build)).parameters["name"].default
    prepare = importlib.import_module(f"keras.applications.{module}").preprocess_input
    values = prepare(np.array([[[PIXEL]]], np.float32))[0, 0, 0]
    line(name, model or module, "-", "stretch", "bilinear", values)
for name in TORCHVISION:
    prepare = torchvision.models.get_model_weights(name).IMAGENET1K_V1.transforms()
    [side] = prepare.crop_size
    image = torch.tensor(PIXEL, dtype=torch.uint8).reshape(3, 1, 1).repeat(1, side, side)
    values = prepare(image)[:, side // 2, side // 2]
    if name in ("googlenet", "inception_v3"):
        # These networks rescale their input to -1 to 1, which the preprocessing does in Lucida.
        values = values * torch.tensor(prepare.std) / 0.5 + (torch.tensor(prepare.mean) - 0.5) / 0.5
    cubic = prepare.interpolation == InterpolationMode.BICUBIC
    ours = name.replace("_", "-") + ("-torch" if name.startswith(BOTH) else "")
    line(ours, "-", side, "crop", "bicubic" if cubic else "bilinear", values)
