"""Times whole processes that predict the digit in one image with an MNIST network.

    first_prediction.py BINARY MODEL IMAGE THREADS           runs Lucida 20 times
    first_prediction.py keras MODEL IMAGE THREADS            runs Keras 3 times
    first_prediction.py keras-once MODEL IMAGE THREADS       the process that `keras` runs

MODEL is a .keras file. The name of IMAGE ends with its digit, against which the prediction is checked.
"""

import json
import pathlib
import resource
import subprocess
import sys
import time

from peers import keras_with, say


who, model, picture, threads = sys.argv[1:]


def keras_once():
    keras, _, name = keras_with(int(threads))
    image = keras.utils.img_to_array(keras.utils.load_img(picture, color_mode="grayscale", target_size=(28, 28)))
    values = keras.models.load_model(model, compile=False)(image[None] / 255, training=False)
    print(json.dumps({"name": name, "class": str(int(values.numpy().argmax()))}))


def timed(command, times, digit_of):
    """Runs the command once to warm the disk cache, then `times` times; returns its output and the times in ms."""
    result = []
    for number in range(times + 1):
        start = time.perf_counter()
        printed = subprocess.run(command, check=True, capture_output=True, text=True, close_fds=False).stdout
        if number:
            result.append((time.perf_counter() - start) * 1e3)
    answer = json.loads(printed)
    if digit_of(answer) != pathlib.Path(picture).stem[-1]:
        sys.exit(f"{picture} is seen as {digit_of(answer)}")
    return answer, result


if who == "keras-once":
    keras_once()
elif who == "keras":
    again = [sys.executable, __file__, "keras-once", model, picture, threads]
    answer, times = timed(again, 3, lambda answer: answer["class"])
    say(answer["name"], times, resource.RUSAGE_CHILDREN)
else:
    predict = [who, "predict", model, picture, "--json", "--threads", threads]
    _, times = timed(predict, 20, lambda answer: answer["predictions"][0]["class"])
    version = subprocess.run([who, "--version"], check=True, capture_output=True, text=True).stdout
    say(version.strip().capitalize(), times, resource.RUSAGE_CHILDREN)
