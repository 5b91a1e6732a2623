"""The workloads of `bench/run`."""

import statistics

from alone import Plans, Scaling
from common import FOLDERS, HERE, SCRATCH, built, instructions, measure, run, save, say
from digits import idx, save_png


class Workload:
    """A computation that is timed in Lucida and its peers.

    `ours` and `peers` are commands without the number of threads, which is appended: a program of `bench/programs`, or a
    script in this folder, with arguments. DATA, WEIGHTS and MNIST are placeholders for folders given to `bench/run`, LUCIDA
    for the binary, and SCRATCH for the folder that `prepare` writes to.
    """

    def __init__(self, title, text, ours, peers, env=None, prepare=None):
        self.title, self.text, self.ours, self.peers, self.env, self.prepare = title, text, ours, peers, env, prepare
        self.programs = {ours[0]} - {name for name in ours if name.endswith(".py")}
        self.binary = "LUCIDA" in ours

    def same_as_default(self):
        """Whether it limits Lucida to the instruction set that it uses on this machine by default."""
        return self.env is not None and self.env.get("LUCIDA_SIMD") == instructions()

    def needed(self):
        """Returns the options that it requires."""
        heads = {argument.partition("/")[0] for command in [self.ours, *self.peers] for argument in command}
        return {name.lower() for name in FOLDERS if name in heads}

    def commands(self, python, options):
        places = {name: getattr(options, name.lower()) for name in FOLDERS}
        places |= {"LUCIDA": built(options, "lucida"), "SCRATCH": str(SCRATCH)}

        def filled(program, *arguments):
            yield from [python, str(HERE / program)] if program.endswith(".py") else [built(options, program)]
            for argument in arguments:
                head, slash, rest = argument.partition("/")
                yield places[head] + slash + rest if head in places else argument
            yield str(options.threads)

        return [list(filled(*command)) for command in [self.ours, *self.peers]]

    def record(self, key, python, options):
        """Times all programs, alternating in each round, and writes the record."""
        if self.prepare:
            self.prepare(options, python)
        memory, rounds = {}, {}
        commands = self.commands(python, options)
        for number in range(options.rounds):
            for place, command in enumerate(commands):
                result = measure(command, self.env if place == 0 else None)
                name, times = result["name"], result["ms"]
                rounds.setdefault(name, []).append(times)
                memory[name] = max(memory.get(name, 0), result.get("mb") or 0)
                say(f"{key}, round {number + 1}: {name}: {statistics.median(times):.2f} ms")
        medians = {name: statistics.median(map(statistics.median, runs)) for name, runs in rounds.items()}
        ours = next(iter(medians.values()))
        lines = [
            "| | median ms | least ms | relative to Lucida | peak MiB |",
            "| --- | ---: | ---: | ---: | ---: |",
            *(
                f"| {name} | {median:.2f} | {min(map(min, rounds[name])):.2f} | {median / ours:.2f} | "
                f"{f'{memory[name]:.0f}' if memory[name] else ''} |"
                for name, median in medians.items()
            ),
            "",
            "Median of each round: " + "; ".join(
                f"{name}: " + ", ".join(f"{statistics.median(times):.2f}" for times in runs) for name, runs in rounds.items()
            ),
        ]
        save(key, self.title, self.text, options, lines)


def prepare_prediction(options, _python):
    """Trains a network on the built-in digits, and writes the first digit as an image."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    (_, height, width), pixels = idx(HERE.parent / "assets" / "mnist-10k-images-idx3-ubyte")
    _, labels = idx(HERE.parent / "assets" / "mnist-10k-labels-idx1-ubyte")
    assert labels[0] == 5
    save_png(SCRATCH / "digit-5.png", width, height, pixels[: height * width])
    lucida, trained = built(options, "lucida"), str(SCRATCH / "mnist")
    run([lucida, "train", "mnist", "--epochs", "3", "--force", "--quiet", "--out", trained])
    run([lucida, "weights", "convert", trained, f"{trained}.keras", "--force", "--quiet"])


def inference(title, name, batch, side=224):
    """Returns the workload of forward passes of a network with random weights, of torchvision or of a feed-forward style."""
    written = SCRATCH / f"{name}-{side}.onnx"
    file = f"SCRATCH/{written.name}"

    def prepare(_options, python):
        if not written.exists():
            run([python, str(HERE / "inference.py"), "export", name, str(written), str(side)])

    def peer(runtime):
        return ["inference.py", runtime, name, file, str(batch), str(side)]

    passes = "50 passes after 10" if batch * side * side <= 512 * 512 else "8 passes after 2"
    images = "1 image" if batch == 1 else f"{batch} images"
    what = "The transformation network of `lucida style-train`" if name.startswith("style-") else f"torchvision's {name}"
    return Workload(
        f"{title}, {images}" if side == 224 else f"{title}, {side}x{side}",
        f"{what} with random weights, read from the ONNX file that PyTorch writes: forward, {images} of {side}x{side}, "
        f"32-bit floats. Each round has {passes} to warm up.",
        ["inference", file, str(batch), str(side)],
        [peer("onnxruntime"), peer("openvino"), peer("torch")],
        prepare=prepare,
    )


INCEPTION = "WEIGHTS/inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"
VGG16 = "WEIGHTS/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
STYLE = (
    "VGG19 with random weights to block5_conv2: forward, Gram matrices at the first layers of the five blocks, the content "
    "at block5_conv2, backward to the image, Adam. Each round has 8 steps after 2 to warm up."
)

WORKLOADS = {
    "mnist-step": Workload(
        "MNIST training step",
        "The network of 113,514 parameters, batch 256, Adam; forward, loss, backward and update; random images. "
        "Each round has 50 steps after 10 to warm up.",
        ["mnist_step", "256"],
        [["mnist_step_keras.py", "256"], ["mnist_step_torch.py", "256"]],
    ),
    "mnist-epoch": Workload(
        "An epoch of MNIST",
        "48,000 digits, batch 256, Adam, loss and accuracy, and 12,000 digits to validate with. Each round has 3 epochs "
        "after 1 to warm up. The peers are Keras's fit and a loop in PyTorch on numbers that were made ready before; Lucida "
        "makes them from bytes in each epoch.",
        ["mnist_epoch", "MNIST"],
        [["mnist_epoch_keras.py", "MNIST"], ["mnist_epoch_torch.py", "MNIST"]],
    ),
    "basic-cnn-step": Workload(
        "Cats-and-dogs training step",
        "basic-cnn of 4,894,913 parameters, batch 32 at 150x150, Adam; forward, loss, backward and update; random images. "
        "Each round has 25 steps after 5 to warm up.",
        ["photos", "step"],
        [["photos_keras.py", "step"], ["photos_torch.py", "step"]],
    ),
    "cold-epoch": Workload(
        "A cold epoch of cats and dogs",
        "Reading and decoding the photos of the training part, 200x200 JPEG, to 150x150, augmenting them (shifts of 0.2, "
        "shear 0.2, zoom 0.2, flips), and training basic-cnn for a pass over them, batch 32. The peer is Keras's "
        "ImageDataGenerator and fit.",
        ["photos", "epoch", "--data", "DATA/train"],
        [["photos_keras.py", "epoch", "--data", "DATA/train"]],
    ),
    "inception-mixed7": Workload(
        "InceptionV3 to mixed7",
        "Forward, batch 32 at 150x150. Each round has 25 passes after 5 to warm up.",
        ["photos", "mixed7", "--weights", INCEPTION],
        [["photos_keras.py", "mixed7", "--weights", INCEPTION]],
    ),
    "vgg16-features": Workload(
        "VGG16 features of 1,000 photos",
        "Reading and decoding the first 500 photos of each class, 200x200 JPEG, to 150x150, and VGG16 to block5_pool, batch "
        "32, after one batch to warm up. The peers are Keras's load_img, and the network as a tf.function; and Pillow, and the "
        "network in PyTorch (with random weights).",
        ["photos", "features", "--data", "DATA/train", "--weights", VGG16],
        [
            ["photos_keras.py", "features", "--data", "DATA/train", "--weights", VGG16],
            ["photos_torch.py", "features", "--data", "DATA/train"],
        ],
    ),
    "maximize-mnist": Workload(
        "Activation maximization, MNIST",
        "All 24 + 48 + 64 filters of the MNIST network, 300 steps without and 300 with the total variation, as keras-vis "
        "does it. The peer is a tf.function for a step in a loop over filters.",
        ["maximize_filters", "mnist"],
        [["maximize_keras.py", "mnist"]],
    ),
    "maximize-vgg16": Workload(
        "Activation maximization, VGG16",
        "16 filters of block3_conv1, pictures of 128x128, 256 steps. The peer is a tf.function for a step in a loop over "
        "filters, without the movements and the frequencies that Lucida's method has.",
        ["maximize_filters", "vgg16"],
        [["maximize_keras.py", "vgg16"]],
    ),
    "first-prediction": Workload(
        "From start to first prediction",
        "From the start of the process to its end: the class of one digit, a PNG, by an MNIST network in a .keras file that "
        "Lucida wrote. Each round has 20 runs of `lucida predict`, and 3 of a Python that imports Keras, loads and predicts; "
        "one before them fills the disk's cache.",
        ["first_prediction.py", "LUCIDA", "SCRATCH/mnist.keras", "SCRATCH/digit-5.png"],
        [["first_prediction.py", "keras", "SCRATCH/mnist.keras", "SCRATCH/digit-5.png"]],
        prepare=prepare_prediction,
    ),
    **{
        f"{name.replace('_', '-')}-{batch}": inference(title, name, batch)
        for title, name, batch in [
            ("VGG16", "vgg16", 1),
            ("VGG16", "vgg16", 16),
            ("ResNet18", "resnet18", 1),
            ("ResNet50", "resnet50", 1),
            ("ResNet50", "resnet50", 32),
            ("SqueezeNet 1.1", "squeezenet1_1", 1),
            ("MobileNetV2", "mobilenet_v2", 1),
            ("MobileNetV2", "mobilenet_v2", 32),
            ("EfficientNetB0", "efficientnet_b0", 1),
            ("DenseNet121", "densenet121", 1),
            ("ConvNeXt-Tiny", "convnext_tiny", 1),
        ]
    },
    **{
        f"style-{size}": Workload(
            f"A step of style transfer, {size}x{size}",
            STYLE,
            ["style_step", str(size)],
            [["style_step_keras.py", str(size)], ["style_step_torch.py", str(size)]],
        )
        for size in (256, 512)
    },
    **{
        f"style-train-{size}": Workload(
            f"Feed-forward style, {size}: training step",
            "Two crops of 256x256 pixels, and in every second step the twin of one, through the network and the first three "
            "blocks of VGG16: losses of content, style, variation and temporal consistency, backward to the weights, Adam.",
            ["style_train_step", size, "2"],
            [["style_train_step_torch.py", size, "2"]],
        )
        for size in ("small", "base")
    },
    **{
        f"style-pass-{size}-{side}": inference(f"Feed-forward style, {size}", f"style-{size}", 1, side)
        for size in ("small", "base")
        for side in (512, 1024)
    },
    "style-512-avx2": Workload(
        "A step of style transfer, 512x512, AVX2 alone",
        f"{STYLE} Lucida is held to AVX2 by LUCIDA_SIMD; Keras is not.",
        ["style_step", "512"],
        [["style_step_keras.py", "512"]],
        env={"LUCIDA_SIMD": "avx2"},
    ),
    "scaling": Scaling(),
    "plans": Plans(),
}
