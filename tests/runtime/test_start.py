"""What a board loads: modules, not times, so that no other work of the machine disturbs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edge_lstm_runtime as rt
from helpers.bundles import make_bundle
from helpers.paths import ROOT

# Each takes a board milliseconds and memory, and no step needs it.
NEVER = {
    "hashlib", "_hashlib", "zipfile", "shutil", "bz2", "lzma", "logging", "csv", "gzip", "tempfile",
    "subprocess", "argparse", "statistics", "email", "importlib.metadata", "numpy.ma", "random",
    "multiprocessing", "asyncio", "concurrent", "socket", "unittest", "uuid", "decimal",
    "edge_lstm_runtime.cli", "edge_lstm_runtime.feeds", "edge_lstm_runtime.detector",
    "edge_lstm_runtime.generating", "edge_lstm_runtime.verify.bench",
}  # fmt: skip
SCRIPT = """
import json, sys, numpy
before = set(sys.modules)
import edge_lstm_runtime as rt
imported = sorted(set(sys.modules) - before)
with rt.load(sys.argv[1]).session(sys.argv[2]) as session:
    answer = session.step([0.1, 0.2, 0.3])
print(json.dumps([imported, sorted(set(sys.modules) - before), answer.shape]))
"""


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runtime and NumPy, and nothing else."""
    folder = tmp_path_factory.mktemp("board")
    (folder / "edge_lstm_runtime").symlink_to(ROOT / "deploy/edge_lstm_runtime")
    for path in Path(np.__file__).parents[1].glob("numpy*"):
        (folder / path.name).symlink_to(path)
    make_bundle(folder / "a.edge")
    return folder


@pytest.mark.parametrize("backend", ["auto", "numpy"])
def test_a_step_loads_what_it_needs(board: Path, backend: str) -> None:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "EDGE_LSTM"))}
    done = subprocess.run(
        [sys.executable, "-S", "-W", "error", "-c", SCRIPT, board / "a.edge", backend],
        env={**kept, "PYTHONPATH": str(board), "EDGE_LSTM_REMEMBER": "0"},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    imported, loaded, shape = json.loads(done.stdout)
    ours = {"edge_lstm_runtime", "edge_lstm_runtime.version"}
    standard = {"__future__", "importlib", "importlib._bootstrap", "importlib._bootstrap_external"}
    assert set(imported) - standard == ours, "a name is imported when it is first used"
    assert {"edge_lstm_runtime.session", "pathlib"} <= set(loaded)
    assert NEVER & set(loaded) == set()
    assert shape == [4]


def test_each_public_name_is_found_and_listed() -> None:
    """By its type too: a checker reads the imports, and Python the table of homes."""
    assert set(rt.__all__) - {"__version__"} == set(rt._HOMES)
    assert set(rt.__all__) <= set(dir(rt))
    for name, home in rt._HOMES.items():
        assert getattr(rt, name) is getattr(sys.modules[f"edge_lstm_runtime.{home}"], name)
    source = Path(rt.__file__).read_text("utf-8")
    for name, home in rt._HOMES.items():
        (block,) = (b for b in source.split("    from .") if b.startswith(f"{home} import"))
        assert name in block, f"{name} of {home} is not there for type checkers"


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match=r"^module 'edge_lstm_runtime' has no attribute 'lod'"):
        rt.lod  # type: ignore[attr-defined]  # noqa: B018
