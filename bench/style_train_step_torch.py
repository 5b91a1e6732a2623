"""Times training steps of a feed-forward style network in PyTorch: the same network, losses and optimizer as Lucida's, with
the first three blocks of VGG16 as the loss network; with channels last and in-place ReLUs, which is fastest on a CPU."""

import itertools

import torch
from torch import nn

from networks_torch import feed_forward_style
from peers import arguments, report

kind, batch, threads = arguments("small", 2)
torch.set_num_threads(threads)
torch.manual_seed(1)
side = 256


network = feed_forward_style(kind)

inputs, layers, marks = 3, [], []
for number, (filters, count) in enumerate([(64, 2), (128, 2), (256, 3)]):
    if number:
        layers.append(nn.MaxPool2d(2))
    for index in range(count):
        layers += [nn.Conv2d(inputs, filters, 3, padding=1), nn.ReLU(inplace=True)]
        inputs = filters
        if index == 0:
            marks.append(len(layers) - 1)
vgg = nn.ModuleList(layers).requires_grad_(False).to(memory_format=torch.channels_last)
mean = torch.tensor([123.68, 116.779, 103.939]).view(1, 3, 1, 1)


def features_of(images):
    x, style = images - mean, []
    for index, layer in enumerate(vgg):
        x = layer(x)
        if index in marks:
            flat = x.flatten(2)
            style.append(flat @ flat.transpose(1, 2) / flat.shape[2])
    return style, x


def crops(count):
    return (torch.rand(count, 3, side, side) * 255).to(memory_format=torch.channels_last)


with torch.no_grad():
    targets = features_of(crops(1))[0]
squares = [(target**2).sum() for target in targets]
optimizer = torch.optim.Adam(network.parameters(), lr=2e-3, betas=(0.9, 0.99), eps=1e-8)
data = crops(batch)


numbers = itertools.count()


def step():
    optimizer.zero_grad()
    shift = 4
    # Every second step has a temporal loss, as in Lucida.
    with_twin = next(numbers) % 2 == 0
    twin = torch.roll(data[:1], (shift, shift), (2, 3)) + torch.randn(1, 3, side, side)
    images = (torch.cat([data, twin]) if with_twin else data).contiguous(memory_format=torch.channels_last)
    output = 127.5 + 150 * network(images / 127.5 - 1)
    stylized, stylized_twin = output[:batch], output[batch:]
    with torch.no_grad():
        content = features_of(data)[1]
    style, features = features_of(stylized)
    loss = 0.045 * (((features - content) ** 2).sum((1, 2, 3)) / (content**2).sum((1, 2, 3))).mean()
    for got, wanted, square in zip(style, targets, squares):
        loss = loss + 0.33 * (((got - wanted) ** 2).sum((1, 2)) / square).mean()
    unit = stylized / 255
    loss = loss + 0.3 * ((unit[..., 1:] - unit[..., :-1]).square().mean() + (unit[..., 1:, :] - unit[..., :-1, :]).square().mean())
    if with_twin:
        apart = stylized_twin[0, :, shift:, shift:] - stylized[0, :, :-shift, :-shift]
        loss = loss + 4 * (apart / 255).square().mean()
    loss.backward()
    optimizer.step()


report(f"PyTorch {torch.__version__.split('+')[0]}", step, 2, 8)
