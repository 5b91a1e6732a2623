"""What the tests share: a small trained model, and the command line of the same package."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest

import lucida

Run = Callable[..., str]


def find_lucida() -> str | None:
    """The program of this package; ``LUCIDA`` names another one."""
    return os.environ.get("LUCIDA") or shutil.which("lucida")


@pytest.fixture(scope="session")
def cli() -> Run:
    program = find_lucida()
    if program is None:
        pytest.skip("no lucida on the PATH, and LUCIDA is not set")

    def run(*arguments: object) -> str:
        command = [program, *(str(argument) for argument in arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def as_json(text: str) -> Any:
    return json.loads(text)


@pytest.fixture(scope="session")
def trained() -> tuple[lucida.Model, lucida.History]:
    return lucida.train("mnist", epochs=2, progress=False)


@pytest.fixture(scope="session")
def model(trained: tuple[lucida.Model, lucida.History]) -> lucida.Model:
    return trained[0]


@pytest.fixture(scope="session")
def model_file(model: lucida.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "digits.safetensors"
    model.save(path)
    return path


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three classes of small photos: pieces of the cat and of the brushwork, and noise."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(1)
    cat, brush = lucida.sample("cat").array, lucida.sample("brushwork").array
    for number in range(12):
        row, column = (int(value) for value in rng.integers(0, 200, 2))
        pieces = {
            "cat": cat[row : row + 48, column : column + 48],
            "brushwork": brush[row : row + 48, column : column + 48],
            "noise": rng.integers(0, 256, (48, 48, 3), dtype=np.uint8),
        }
        for name, piece in pieces.items():
            (folder / name).mkdir(exist_ok=True)
            lucida.Image(piece).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def digit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image file of a digit."""
    path = tmp_path_factory.mktemp("digit") / "digit.png"
    lucida.Image(lucida.digits()[0][7]).save(path)
    return path
