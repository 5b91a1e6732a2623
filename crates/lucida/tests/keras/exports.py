"""Loads the files written by `cargo run -p lucida-programs --bin export_keras -- DIR [WEIGHTS]`, and compares predictions.

    python exports.py DIR [RECORD.md]

Each network comes in up to three files. Keras's predictions with each are compared with Lucida's, which are in the same folder.
The results are written to RECORD.md.
Checked with Keras 3.15 on TensorFlow 2.21.
"""

import datetime
import pathlib
import subprocess
import sys

import keras
import numpy as np
import tensorflow

folder = pathlib.Path(sys.argv[1])
rows = []
for path in sorted(folder.glob("*.keras")):
    name = path.stem
    model = keras.models.load_model(path, compile=False)
    inputs = np.fromfile(folder / f"{name}.input.f32", np.float32).reshape((-1, *model.input_shape[1:]))
    expected = np.fromfile(folder / f"{name}.output.f32", np.float32).reshape((-1, *model.output_shape[1:]))
    # The weights alone, loaded into the same model with other weights.
    other = keras.models.clone_model(model)
    other.load_weights(folder / f"{name}.weights.h5")
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), other.get_weights(), strict=True))
    models = {".keras": model, ".weights.h5": other}
    # Networks with operations cannot be written in this format.
    if (folder / f"{name}.h5").exists():
        legacy = keras.models.load_model(folder / f"{name}.h5", compile=False)
        assert [layer.name for layer in legacy.layers] == [layer.name for layer in model.layers]
        models[".h5"] = legacy
    for ending, loaded in models.items():
        outputs = loaded.predict(inputs, verbose=0)
        difference, largest = np.abs(outputs - expected).max(), np.abs(expected).max()
        rows.append(f"| `{name}{ending}` | {loaded.count_params():,} | {difference:.1e} | {largest:.3g} |")
        print(rows[-1], flush=True)
        assert difference < 1e-4 * largest

if len(sys.argv) > 2:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    lines = [
        "# Networks that Lucida exports, in Keras",
        "",
        "Every file is loaded in Keras (the weights alone into a clone of the model with other weights), predicts two pictures, and",
        "is compared with what Lucida computes. `_published`: with trained weights in Keras's published files; others are random, as are",
        "the pictures.",
        "",
        f"- date: {datetime.date.today()}, commit {commit}",
        f"- Keras {keras.__version__}, TensorFlow {tensorflow.__version__}",
        "- `cargo run --release -p lucida-programs --bin export_keras -- DIR WEIGHTS`, `python crates/lucida/tests/keras/exports.py DIR RECORD.md`",
        "",
        "| file | parameters | largest difference of a prediction | largest prediction |",
        "| --- | ---: | ---: | ---: |",
        *rows,
    ]
    pathlib.Path(sys.argv[2]).write_text("\n".join(lines) + "\n")
