"""What the package does to its process: Ctrl-C, threads, memory, files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Callable

import numpy as np
import pytest

import lucida

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc, or forks")


def interrupted(code: str, after: float) -> tuple[float, str]:
    """Seconds from Ctrl-C to the end of a program, and what it printed."""
    program = f"import lucida, time\nprint('ready', flush=True)\n{textwrap.dedent(code)}"
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    time.sleep(after)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    printed = process.stdout.read()
    process.wait(60)
    return time.monotonic() - began, printed


def test_ctrl_c_stops_long_work() -> None:
    # The network that classifies: without a batch that ends soon.
    seconds, printed = interrupted(
        """
        model = lucida.load("vgg16-builtin", size=512)
        lucida.sample("cat")
        try:
            model.filters("block3_conv3", range(64), size=512, progress=False)
        except KeyboardInterrupt as stop:
            print(type(stop).__name__)
        """,
        1.5,
    )
    # The end of the interpreter is part of it.
    assert printed == "Interrupted\n" and seconds < 2.0, (seconds, printed)


def test_ctrl_c_stops_calls_without_progress() -> None:
    seconds, printed = interrupted(
        """
        model = lucida.load("vgg16-builtin", size=1024)
        image = lucida.sample("cat")
        try:
            while True:
                model.activations(image, "block3_conv3")
        except KeyboardInterrupt as stop:
            print(type(stop).__name__, stop, stop.model, stop.image)
        """,
        1.5,
    )
    assert printed == "Interrupted stopped by Ctrl-C None None\n" and seconds < 2.0, (seconds, printed)


def test_ctrl_c_keeps_what_was_done() -> None:
    seconds, printed = interrupted(
        """
        try:
            lucida.train("mnist", epochs=1000, progress=False)
        except lucida.Interrupted as stop:
            print(stop.model, stop.history)
        """,
        4.0,
    )
    assert "lucida.Model mnist_cnn" in printed and "lucida.History" in printed and seconds < 2.0, (seconds, printed)
    seconds, printed = interrupted(
        """
        try:
            lucida.style(lucida.sample("cat"), "brushwork", size=256, steps=1000, progress=False)
        except lucida.Interrupted as stop:
            print(stop.image)
        """,
        2.0,
    )
    assert "lucida.StyleResult" in printed and seconds < 3.0, (seconds, printed)


def test_other_threads_run_meanwhile(model: lucida.Model) -> None:
    ticks: list[float] = []
    done = threading.Event()

    def tick() -> None:
        while not done.is_set():
            ticks.append(time.monotonic())
            time.sleep(0.005)

    thread = threading.Thread(target=tick)
    thread.start()
    began = time.monotonic()
    lucida.style(lucida.sample("cat"), "brushwork", size=128, steps=20, progress=False)
    took = time.monotonic() - began
    done.set()
    thread.join()
    assert max(np.diff(ticks), default=took) < max(0.25, took / 2)


def test_calls_from_several_threads(model: lucida.Model) -> None:
    images = lucida.digits()[0][:64]
    expected = model.predict(images, progress=False)
    found: list[np.ndarray] = []
    threads = [
        threading.Thread(target=lambda: found.append(model.predict(images, progress=False))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    for one in found:
        np.testing.assert_array_equal(one, expected)


def resident() -> int:
    """Bytes of the process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@LINUX
def test_a_thousand_calls_leak_nothing(model: lucida.Model, model_file: Path) -> None:
    images = lucida.digits()[0][:16]

    def refused() -> None:
        with pytest.raises(ValueError):
            model.activations(images[0], "none")

    kinds: list[Callable[[], object]] = [
        lambda: model.predict(images, progress=False),
        lambda: model.classify(images[0]),
        lambda: model.explain(images[0], "grad-cam", faithfulness=False, progress=False),
        lambda: model.activations(images[0], "conv2d"),
        lambda: lucida.load(model_file),
        refused,
    ]

    def calls(count: int) -> None:
        for number in range(count):
            kinds[number % len(kinds)]()

    calls(300)
    before = resident()
    calls(1000)
    grown = resident() - before
    assert grown < 16 << 20, f"{grown / 2**20:.1f} MiB more after 1,000 calls"


def test_no_files_are_left(model: lucida.Model, photos: Path, tmp_path: Path) -> None:
    code = """
    import lucida
    images, labels = lucida.digits()
    model, _ = lucida.train((images[:100], labels[:100]), model="mnist-cnn", epochs=1, progress=False)
    model.predict(images[:3]); model.explain(images[0], progress=False); model.save("m.onnx"); lucida.load("m.onnx")
    lucida.style(lucida.sample("cat"), "brushwork", size=64, steps=2, progress=False)
    """
    temporary, here = tmp_path / "temporary", tmp_path / "here"
    temporary.mkdir()
    here.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary)}
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], env=environment, cwd=here, check=True)
    assert not list(temporary.iterdir()) and [path.name for path in here.iterdir()] == ["m.onnx"]


@LINUX
def test_a_forked_process_works(model: lucida.Model) -> None:
    images = lucida.digits()[0][:4]
    expected = model.predict(images, progress=False)
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(model.predict(images, progress=False), expected) else 1)
    for _ in range(200):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        time.sleep(0.1)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        pytest.fail("the child does not end")
    assert os.WEXITSTATUS(status) == 0


def test_progress_is_shown_by_tqdm(capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm", reason="tqdm is not installed")
    lucida.style(lucida.sample("cat"), "brushwork", size=256, steps=20)
    assert "loss=" in capfd.readouterr().err
    lucida.style(lucida.sample("cat"), "brushwork", size=64, steps=2, progress=False)
    assert capfd.readouterr().err == ""


def test_progress_of_style_transfer_counts_pixels() -> None:
    steps: list[lucida.Progress] = []
    lucida.style(lucida.sample("cat"), "brushwork", size=96, steps=5, progress=steps.append)
    assert {step.unit for step in steps} == {"pixel"}
    parts = [step.fraction or 0.0 for step in steps]
    assert parts == [step.done / (step.total or 1) for step in steps] and parts == sorted(parts) and parts[-1] == 1.0
    scale, step = steps[-1].detail["scale"], steps[-1].detail["step"]
    assert scale[0] == scale[1] and step == [5, 5]
    assert lucida.Progress("", "B", 3, None).fraction is None and lucida.Progress("", "step", 0, 0).fraction == 1.0


def test_an_error_of_the_callback_stops_the_work() -> None:
    def refuse(_: lucida.Progress) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        lucida.train("mnist", epochs=100, progress=refuse)
