"""Prometheus' own tool, which reads rules and plays them."""

import shutil
import subprocess
from pathlib import Path

import pytest

TOOL = shutil.which("promtool")
NEEDS_PROMTOOL = pytest.mark.skipif(TOOL is None, reason="needs promtool (Debian: apt install prometheus)")


def promtool(folder: Path, *words: str) -> str:
    """What it says in this folder; it has to find nothing wrong."""
    said = subprocess.run([str(TOOL), *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    return said.stdout
