"""Times a step of style transfer in PyTorch: VGG19 to block5_conv2, five Gram losses and one of content, Adam."""

from peers import arguments, report

import torch

size, threads = arguments(512)
torch.set_num_threads(threads)
torch.manual_seed(42)

nn = torch.nn
# The convolutions of VGG19's blocks, those whose outputs count by name; in PyTorch's order of layers.
PLAN = [(64, 2), (128, 2), (256, 4), (512, 4), (512, 2)]
layers, taps, channels = nn.ModuleList(), set(), 3
for block, (filters, count) in enumerate(PLAN):
    for index in range(count):
        layers.append(nn.Sequential(nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU()))
        channels = filters
        if index == 0:
            taps.add(len(layers) - 1)
    if block < len(PLAN) - 1:
        layers.append(nn.MaxPool2d(2))
layers.requires_grad_(False).to(memory_format=torch.channels_last)


def features(x):
    styles = []
    for index, layer in enumerate(layers):
        x = layer(x)
        if index in taps:
            styles.append(x)
    return styles, x


def gram(maps):
    rows = maps.flatten(2)[0]
    return rows @ rows.T


picture = (torch.rand(1, 3, size, size) * 252 - 126).to(memory_format=torch.channels_last).requires_grad_()
optimizer = torch.optim.Adam([picture], lr=1.0)
with torch.no_grad():
    styles, deep = features(picture)
    targets, content = [gram(maps) * 0.9 for maps in styles], deep * 0.9


def step():
    optimizer.zero_grad()
    styles, deep = features(picture)
    loss = 0.5e-3 * (deep - content).square().sum()
    for maps, target in zip(styles, targets):
        pixels, channels = maps.shape[2] * maps.shape[3], maps.shape[1]
        loss = loss + (gram(maps) - target).square().sum() / (4.0 * channels**2 * float(pixels) ** 2)
    loss.backward()
    optimizer.step()
    return loss.item()


report(f"PyTorch {torch.__version__}", step, 2, 5)
