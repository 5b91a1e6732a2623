"""Times epochs of the MNIST network in PyTorch: 48,000 digits, shuffled in each epoch, batch 256, loss and accuracy, and
12,000 digits for validation. The digits are in memory as floats from 0 to 1 before the first epoch.

    mnist_epoch_torch.py FOLDER [THREADS]
"""

import pathlib

import torch

from digits import idx
from networks_torch import mnist_cnn, training_step
from peers import arguments, report

BATCH, TRAIN = 256, 48_000

folder, threads = arguments("")
torch.set_num_threads(threads)
torch.manual_seed(42)


def numbers(kind):
    dimensions, values = idx(pathlib.Path(folder) / f"train-{kind}")
    return torch.frombuffer(bytearray(values), dtype=torch.uint8).reshape(dimensions)


images = (numbers("images-idx3-ubyte").float() / 255)[:, None].contiguous(memory_format=torch.channels_last)
labels = numbers("labels-idx1-ubyte").long()
model = mnist_cnn()
loss_of = torch.nn.CrossEntropyLoss()
step = training_step(model, loss_of)


def epoch():
    loss_sum, right = 0.0, 0
    model.train()
    for chosen in torch.randperm(TRAIN).split(BATCH):
        batch = labels[chosen]
        loss, outputs = step(images[chosen], batch)
        loss_sum += loss * len(chosen)
        right += (outputs.argmax(1) == batch).sum().item()
    model.eval()
    with torch.inference_mode():
        for pictures, batch in zip(images[TRAIN:].split(BATCH), labels[TRAIN:].split(BATCH)):
            outputs = model(pictures)
            loss_sum += loss_of(outputs, batch).item() * len(batch)
            right += (outputs.argmax(1) == batch).sum().item()
    return loss_sum, right


report(f"PyTorch {torch.__version__}", epoch, 1, 3)
