"""The package and its tests have types throughout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def test_mypy() -> None:
    pytest.importorskip("mypy", reason="mypy is not installed")
    here = Path(__file__).parent
    config = here.parent / "pyproject.toml"
    for what in (["-p", "lucida"], [str(here)]):
        command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(config), *what]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=here)
        assert done.returncode == 0, done.stdout
