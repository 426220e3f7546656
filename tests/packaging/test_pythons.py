"""One wheel for every Python from 3.10 on, with the oldest NumPy that it takes and the newest."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from packaging.tags import platform_tags

import hatch_build
from helpers.paths import ROOT
from helpers.pythons import found

pytestmark = pytest.mark.slow
# Python -> NumPy: 1.24 is the oldest that pyproject.toml allows, 1.26 the last with the ABI of 1.
NUMPY = {"3.10": "numpy==1.24.4", "3.12": "numpy==1.26.4", "3.13": "numpy"}


@pytest.mark.parametrize("version", NUMPY)
def test_the_same_wheel(version: str, tmp_path: Path, wheels: dict[str, Path]) -> None:
    """Random objects through its module, as `make fuzz` sends them."""
    platform = next((tag for tag in platform_tags() if tag in hatch_build.PLATFORMS), None)
    path = found(version)
    if platform is None or path is None:
        pytest.skip(f"Python {version} is not on this machine, or there is no wheel for it")
    subprocess.run([path, "-m", "venv", str(tmp_path)], check=True)
    pip = [str(tmp_path / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    done = subprocess.run([*pip, NUMPY[version]], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"NumPy can't be installed here, from no index: {done.stderr[-300:]}")
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheels[platform])], check=True)
    program = [pip[0], str(ROOT / "tests" / "helpers" / "fuzz_call.py"), "3", "1"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(program, capture_output=True, text=True, env=kept, check=False)
    assert done.returncode == 0, done.stderr
    assert f"runs of {tmp_path}/" in done.stdout
