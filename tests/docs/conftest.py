"""A clone of the repository, for the documents' commands."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.paths import ROOT


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What git clones, with what is changed and not committed yet."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout, so it can't be cloned")
    folder = tmp_path_factory.mktemp("readme") / "edge-lstm"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.split("\0"):
        if name and (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    # `make` has made it a moment ago. Once more takes minutes, and gigabytes.
    if (ROOT / ".venv" / "ready").exists() and "EDGE_LSTM_FRESH" not in os.environ:
        (folder / ".venv").symlink_to(ROOT / ".venv")
    yield folder
    shutil.rmtree(folder / ".venv", ignore_errors=True)
