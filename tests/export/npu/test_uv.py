"""uv itself, asked for what needs no network and leaves nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from edge_lstm_export.npu.worker import uv
from edge_lstm_runtime.cli._output import Progress

pytestmark = pytest.mark.skipif(os.name != "posix", reason="descriptors are handed on")


@pytest.fixture
def lock() -> Iterator[int]:
    ours, theirs = os.pipe()
    yield theirs
    os.close(ours)
    os.close(theirs)


def test_nothing_is_returned_if_it_worked(lock: int) -> None:
    assert uv.call(["--version"], os.environ, pytest.fail, lock=lock) is None


def test_colours_reach_a_terminal(lock: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All else that a command prints has its controls escaped."""
    ours, theirs = os.openpty()
    with open(theirs, "w") as terminal:  # noqa: PTH123
        monkeypatch.setattr(sys, "stderr", Progress(terminal))
        uv.call(["no-such-command"], {"TERM": "xterm"}, pytest.fail, lock=lock)
        seen = os.read(ours, 4096)
        sys.stderr.write("\x1b[2J")
        sys.stderr.flush()
        seen += os.read(ours, 4096)
    os.close(ours)
    assert seen.startswith(b"\x1b[1m\x1b[31merror")
    assert seen.endswith(b"\\x1b[2J")
    assert seen.count(b"\\x1b") == 1


def test_what_uv_complains_of_is_returned_in_one_line(lock: int) -> None:
    problem = uv.call(["no-such-command"], os.environ, pytest.fail, lock=lock)
    assert problem is not None
    assert problem.startswith("error: unrecognized subcommand 'no-such-command'")
    assert "\n" not in problem


def test_a_code_without_words_is_told(lock: int) -> None:
    """--quiet twice: uv says nothing at all."""
    asked = ["-qq", "venv", "--offline", "--python", "9.9", "no-such-folder/env"]
    assert uv.call(asked, os.environ, pytest.fail, lock=lock) == "exit code 2"
