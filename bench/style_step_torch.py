"""Times steps of style transfer in PyTorch: VGG19 to block5_conv2, six losses, Adam on the image; with channels last and
in-place ReLUs, which is fastest on a CPU."""

import torch
from torch import nn

from peers import arguments, report

size, threads = arguments(512)
torch.set_num_threads(threads)
torch.manual_seed(1)

# The convolutions of VGG19 up to the second of block 5; the first of each block is a style layer.
blocks, channels, layers, marks = [(64, 2), (128, 2), (256, 4), (512, 4), (512, 2)], 3, [], []
for number, (filters, count) in enumerate(blocks):
    if number:
        layers.append(nn.MaxPool2d(2))
    for index in range(count):
        layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU(inplace=True)]
        channels = filters
        if index == 0:
            marks.append(len(layers) - 1)
network = nn.ModuleList(layers).requires_grad_(False).to(memory_format=torch.channels_last)
mean = torch.tensor([123.68, 116.779, 103.939]).view(1, 3, 1, 1)


def features_of(picture):
    x, style = picture - mean, []
    for index, layer in enumerate(network):
        x = layer(x)
        if index in marks:
            flat = x.flatten(2)[0]
            style.append(flat @ flat.T / flat.shape[1])
    return style, x


def random_picture():
    return (torch.rand(1, 3, size, size) * 255).to(memory_format=torch.channels_last)


picture = random_picture().requires_grad_()
with torch.no_grad():
    content_target = features_of(picture)[1]
    style_targets = features_of(random_picture())[0]
optimizer = torch.optim.Adam([picture], lr=1.0)


def step():
    optimizer.zero_grad()
    style, content = features_of(picture)
    loss = 0.5 * ((content - content_target) ** 2).sum()
    for got, wanted in zip(style, style_targets):
        loss = loss + 200.0 * ((got - wanted) ** 2).sum() / (4.0 * got.shape[0] ** 2)
    loss.backward()
    optimizer.step()


report(f"PyTorch {torch.__version__.split('+')[0]}", step, 2, 8)
