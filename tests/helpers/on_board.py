"""What the tests on emulated boards share."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_lstm import Run
from helpers.board import ARCHITECTURES, Board, BoardError, cached

TIMEOUT = 120  # seconds: an emulated command takes one to ten
OnBoard = Callable[..., subprocess.CompletedProcess[str]]


@dataclasses.dataclass(frozen=True)
class Machine:
    """A board and the folders with the wheel for it and with the one that has no library."""

    board: Board
    wheel: Path
    project: Path
    pure: Path


def installed(debian: str, wheels: dict[str, Path], folder: Path) -> Machine:
    try:
        board = cached(ARCHITECTURES[debian])
    except BoardError as e:
        pytest.skip(str(e))
    machine = Machine(
        board, wheels[board.architecture.platform], folder / "native", folder / "pure"
    )
    board.install(machine.wheel, machine.project)
    board.install(wheels["any"], machine.pure)
    return machine


def export(trained: Run, path: Path, form: str) -> Path:
    """A bundle with a model in one form, made by the real converter."""
    from edge_lstm_export import export_run
    from edge_lstm_export.npu.rknn import convert
    from edge_lstm_export.npu.rknn.environment import ENVIRONMENT

    if reason := ENVIRONMENT.unsupported_reason():
        pytest.skip(reason)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convert, "candidates", lambda *_: (form,))
        export_run(trained, path, schemes=("fp16",))
    return path
