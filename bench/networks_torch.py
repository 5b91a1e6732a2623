"""Networks that several PyTorch scripts share, with channels last, PyTorch's fastest layout on a CPU."""

import torch
from torch import nn


def block(channels, filters, padding):
    return nn.Conv2d(channels, filters, 3, padding=padding), nn.ReLU(), nn.MaxPool2d(2)


def mnist_cnn():
    """The digit classifier, which ends in logits."""
    model = nn.Sequential(
        *block(1, 24, 1),
        *block(24, 48, 1),
        *block(48, 64, 1),
        nn.Flatten(),
        nn.Linear(576, 128),
        nn.ReLU(),
        nn.Dropout(0.25),
        nn.Linear(128, 10),
    )
    assert sum(p.numel() for p in model.parameters()) == 113_514
    return model.to(memory_format=torch.channels_last)


def basic_cnn():
    """The binary classifier of photos of 150x150 pixels, which ends in a logit."""
    model = nn.Sequential(
        *block(3, 32, 0),
        *block(32, 64, 0),
        *block(64, 128, 0),
        nn.Flatten(),
        nn.Linear(17 * 17 * 128, 128),
        nn.ReLU(),
        nn.Linear(128, 512),
        nn.ReLU(),
        nn.Linear(512, 1),
    )
    assert sum(p.numel() for p in model.parameters()) == 4_894_913
    return model.to(memory_format=torch.channels_last)


def vgg16():
    """VGG16 to block5_pool, with random weights."""
    layers, channels = [], 3
    for filters, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU(inplace=True)]
            channels = filters
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers).to(memory_format=torch.channels_last).eval()


def training_step(model, loss_of):
    """Runs a training step with Adam on images and labels; returns the loss and the outputs."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-7)

    def step(images, labels):
        optimizer.zero_grad(set_to_none=True)
        outputs = model(images)
        loss = loss_of(outputs, labels)
        loss.backward()
        optimizer.step()
        return loss.item(), outputs.detach()

    return step


class Residual(nn.Module):
    """Two convolutions, added to their input."""

    def __init__(self, filters):
        super().__init__()
        self.branch = nn.Sequential(normalized(filters, filters, 3), normalized(filters, filters, 3, relu=False))

    def forward(self, x):
        return x + self.branch(x)


def normalized(inputs, filters, kernel, stride=1, up=False, relu=True):
    """A convolution with reflection padding and instance normalization, after nearest-neighbor upsampling if `up`."""
    layers = [nn.Upsample(scale_factor=2)] if up else []
    layers += [nn.ReflectionPad2d(kernel // 2), nn.Conv2d(inputs, filters, kernel, stride, bias=False)]
    layers += [nn.InstanceNorm2d(filters, affine=True)] + ([nn.ReLU(inplace=True)] if relu else [])
    return nn.Sequential(*layers)


def feed_forward_style(size):
    """The transformation network that `lucida style-train` trains, small or base."""
    channels = {"small": 16, "base": 32}[size]
    return nn.Sequential(
        normalized(3, channels, 9),
        normalized(channels, 2 * channels, 3, 2),
        normalized(2 * channels, 4 * channels, 3, 2),
        *(Residual(4 * channels) for _ in range(5)),
        normalized(4 * channels, 2 * channels, 3, up=True),
        normalized(2 * channels, channels, 3, up=True),
        nn.ReflectionPad2d(4),
        nn.Conv2d(channels, 3, 9),
        nn.Tanh(),
    ).to(memory_format=torch.channels_last)
