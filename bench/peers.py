"""Functions shared by the scripts of the peers: threads, timing, and the line that `bench/run` reads."""

import json
import os
import resource
import sys
import time


def arguments(*defaults):
    """Returns the script's arguments, one for each default, followed by the number of threads."""
    given = sys.argv[1:]
    values = [type(default)(given[i]) if i < len(given) else default for i, default in enumerate(defaults)]
    return *values, int(given[len(defaults)]) if len(given) > len(defaults) else 2


def keras_with(threads):
    """Returns Keras, TensorFlow and their versions, set up for the CPU with this number of threads."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import tensorflow as tf
    import keras

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    keras.utils.set_random_seed(42)
    return keras, tf, f"Keras {keras.__version__} / TensorFlow {tf.__version__}"


def first_photos(folder, count):
    """Returns the first `count` photos of each class, sorted by name."""
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    return [photo for each in classes for photo in sorted(each.iterdir())[:count]]


def report(name, step, warm_up, steps):
    """Times `step` and prints the result."""
    for _ in range(warm_up):
        step()
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        times.append((time.perf_counter() - start) * 1e3)
    say(name, times)


def say(name, times, whose=resource.RUSAGE_SELF):
    """Prints times in milliseconds, and the peak memory in MiB of this process, or of its children."""
    print(json.dumps({"name": name, "ms": times, "mb": resource.getrusage(whose).ru_maxrss / 1024}))
