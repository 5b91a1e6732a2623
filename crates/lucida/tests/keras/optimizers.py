"""Prints how Keras's optimizers update a weight that starts at 1, for the test in `src/nn/optimizer.rs`."""

import keras
import numpy as np

GRADIENTS = [0.5, -1.0, 2.0, 0.25]
CASES = [
    keras.optimizers.SGD(0.1),
    keras.optimizers.SGD(0.1, momentum=0.9),
    keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    keras.optimizers.RMSprop(0.01),
    keras.optimizers.Adam(0.01),
    keras.optimizers.AdamW(0.01, weight_decay=0.1),
]
for optimizer in CASES:
    weight = keras.Variable(np.ones(1, np.float32))
    for gradient in GRADIENTS:
        optimizer.apply([keras.ops.convert_to_tensor(np.array([gradient], np.float32))], [weight])
    print(f"{optimizer.name} {float(weight.numpy()[0]):.9g}")
