"""The package and its tests have types throughout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import lucida


def test_mypy() -> None:
    pytest.importorskip("mypy", reason="mypy is not installed")
    here = Path(__file__).parent
    package = Path(lucida.__file__).parent
    config = here.parent / "pyproject.toml"
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(config), str(package), str(here)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=here)
    assert done.returncode == 0, done.stdout
