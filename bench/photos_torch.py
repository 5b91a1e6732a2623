"""Times workloads on photos in PyTorch, like `bench/programs/photos.rs` in Lucida.

    photos_torch.py step|features [--data FOLDER] [THREADS]
"""

import argparse
import pathlib

import numpy as np
import torch
from PIL import Image

from networks_torch import basic_cnn, training_step, vgg16
from peers import first_photos, report

BATCH, SIZE, PHOTOS_OF_A_CLASS = 32, 150, 500

parser = argparse.ArgumentParser()
parser.add_argument("mode", choices=["step", "features"])
parser.add_argument("threads", type=int, nargs="?", default=2)
parser.add_argument("--data", type=pathlib.Path)
# The number of threads may follow the options.
options = parser.parse_intermixed_args()
torch.set_num_threads(options.threads)
torch.manual_seed(42)
name = f"PyTorch {torch.__version__}"


def step():
    run = training_step(basic_cnn(), torch.nn.BCEWithLogitsLoss())
    images = torch.rand(BATCH, 3, SIZE, SIZE).to(memory_format=torch.channels_last)
    labels = (torch.arange(BATCH) % 2).float()[:, None]
    report(name, lambda: run(images, labels), 5, 25)


def features():
    model = vgg16()
    photos = first_photos(options.data, PHOTOS_OF_A_CLASS)
    means = np.array([123.68, 116.779, 103.939], np.float32)

    def load(photo):
        picture = Image.open(photo).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        return np.asarray(picture, np.float32) - means

    def features_of(photos):
        rows = []
        with torch.inference_mode():
            for at in range(0, len(photos), BATCH):
                images = np.stack([load(photo) for photo in photos[at : at + BATCH]])
                # A channels-first view of channels-last memory.
                rows.append(model(torch.from_numpy(images).permute(0, 3, 1, 2)))
        return torch.cat(rows)

    features_of(photos[:BATCH])
    report(name, lambda: features_of(photos), 0, 1)


{"step": step, "features": features}[options.mode]()
