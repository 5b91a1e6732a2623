"""Times a training step of the MNIST network in PyTorch: Adam.

    mnist_step_torch.py [BATCH [THREADS]]
"""

import torch
from torch import nn

from peers import arguments, report

batch, threads = arguments(256)
torch.set_num_threads(threads)

torch.manual_seed(42)
model = nn.Sequential(
    nn.Conv2d(1, 24, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(24, 48, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(48, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
    nn.Flatten(), nn.Linear(576, 128), nn.ReLU(), nn.Dropout(0.25), nn.Linear(128, 10),
).to(memory_format=torch.channels_last)
assert sum(p.numel() for p in model.parameters()) == 113_514
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-7)
loss_of = nn.CrossEntropyLoss()

images = torch.rand(batch, 1, 28, 28).to(memory_format=torch.channels_last)
labels = torch.randint(0, 10, (batch,))


def step():
    optimizer.zero_grad(set_to_none=True)
    loss = loss_of(model(images), labels)
    loss.backward()
    optimizer.step()
    return loss.item()


report(f"PyTorch {torch.__version__}", step, 10, 50)
