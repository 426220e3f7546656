"""A backend that ends its process: "auto" meets it twice, and then goes on with the others."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_lstm_runtime import BackendError
from edge_lstm_runtime.verify import opening
from helpers.bundles import make_bundle
from helpers.commands import edge_lstm
from helpers.plug_ins import plug_in

DIES = """
import os, signal
from edge_lstm_runtime import Facts
FACTS = Facts("float32", runs_on="npu")
def open_backend(bundle, *, artifact=None):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def store(cache: Path) -> Path:
    return cache.parent


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("opening-*"))


def test_it_is_met_twice(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.edge"
    make_bundle(file)
    rows = tmp_path / "rows.csv"
    rows.write_text("\n".join(["1,2,3"] * 3) + "\n")
    folder = tmp_path / "plug-in"
    folder.mkdir()
    plug_in(folder, "dies", dies=DIES)
    monkeypatch.setenv("PYTHONPATH", str(folder))

    def run() -> subprocess.CompletedProcess[str]:
        return edge_lstm("run", file, "--input", rows, folders=[folder])

    assert [run().returncode for _ in range(2)] == [-9, -9]
    assert len(files(store)) == 2
    for _ in range(2):  # the others are right, and the next start finds it so too
        done = run()
        assert (done.returncode, len(done.stdout.splitlines())) == (0, 3)
        assert "dies: failed: 2 processes ended while they opened it here" in done.stderr
        assert len(files(store)) == 2
    for mark in files(store):
        os.utime(mark, (0, time.time() - opening.LASTS - 60))
    assert run().returncode == -9
    assert len(files(store)) == 1


def test_nothing_stays_of_one_that_opens_or_fails(store: Path) -> None:
    with opening.opening("a"):
        assert len(files(store)) == 1
    with pytest.raises(ValueError, match="wrong"), opening.opening("a"):
        raise ValueError("wrong")
    assert files(store) == []


def test_those_that_open_it_now_do_not_count(store: Path) -> None:
    """Each in a process of its own, until it is killed."""
    source = (
        "from edge_lstm_runtime.verify.opening import opening\n"
        "with opening('a'):\n print(flush=True)\n input()\n"
    )
    others = [
        subprocess.Popen(
            [sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(3)
    ]
    try:
        for other in others:
            assert other.stdout is not None
            other.stdout.readline()
        assert len(files(store)) == 3
        with opening.opening("a"):
            assert len(files(store)) == 4
    finally:
        for other in others:
            other.kill()
            other.communicate()
    with pytest.raises(BackendError, match="2 processes ended"), opening.opening("a"):
        pass
    with opening.opening("b"):
        pass
    assert len(files(store)) == 3


@pytest.mark.parametrize("how", ["switched off", "a file", "no folder"])
def test_where_nothing_can_be_written(
    how: str, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "switched off":
        monkeypatch.setenv("EDGE_LSTM_REMEMBER", "0")
    elif how == "a file":
        store.write_text("")
    else:
        monkeypatch.setenv("EDGE_LSTM_CACHE", "/proc/nowhere")
    opened = False
    with opening.opening("a"):
        opened = True
    assert opened
    assert not store.is_dir()
