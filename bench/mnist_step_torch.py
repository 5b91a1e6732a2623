"""Times a training step of the MNIST network in PyTorch: Adam.

    mnist_step_torch.py [BATCH [THREADS]]
"""

import torch

from networks_torch import mnist_cnn, training_step
from peers import arguments, report

batch, threads = arguments(256)
torch.set_num_threads(threads)
torch.manual_seed(42)

step = training_step(mnist_cnn(), torch.nn.CrossEntropyLoss())
images = torch.rand(batch, 1, 28, 28).to(memory_format=torch.channels_last)
labels = torch.randint(0, 10, (batch,))
report(f"PyTorch {torch.__version__}", lambda: step(images, labels), 10, 50)
