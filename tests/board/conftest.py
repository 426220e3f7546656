"""Emulated boards, each made once, with their wheels. The real converter makes the one bundle."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from edge_lstm import Run
from helpers.board import ARCHITECTURES
from helpers.on_board import TIMEOUT, Machine, OnBoard, export, installed


@pytest.fixture(scope="session")
def arm64(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return installed("arm64", wheels, tmp_path_factory.mktemp("arm64"))


@pytest.fixture(scope="session")
def armhf(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return installed("armhf", wheels, tmp_path_factory.mktemp("armhf"))


@pytest.fixture(params=ARCHITECTURES)
def machine(request: pytest.FixtureRequest) -> Machine:
    return request.getfixturevalue(request.param)


@pytest.fixture
def python(machine: Machine, tmp_path: Path) -> OnBoard:
    """Run the board's Python, its temporary files in the test's `tmp_path`/temporary.

    options: of `Board.variables`.
    """
    (tmp_path / "temporary").mkdir()

    def run(
        *arguments: str | Path,
        text: str | None = None,
        project: Path | None = None,
        variables: Mapping[str, str] | None = None,
        **options: Any,
    ) -> subprocess.CompletedProcess[str]:
        environment = machine.board.variables(project or machine.project, **options)
        return subprocess.run(
            machine.board.command(*arguments),
            input=text, capture_output=True, text=True, timeout=TIMEOUT, check=False,
            env={**environment, "TMPDIR": str(tmp_path / "temporary"), **(variables or {})},
            cwd=tmp_path,
        )  # fmt: skip

    return run


@pytest.fixture
def edge_lstm(python: OnBoard, machine: Machine) -> OnBoard:
    """Run the command there."""

    def run(
        *arguments: str | Path, project: Path | None = None, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        command = (project or machine.project) / "bin/edge-lstm"
        return python("-W", "error", command, *arguments, project=project, **options)

    return run


@pytest.fixture(scope="session")
def bundle(trained: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(trained, tmp_path_factory.mktemp("bundle") / "motions.edge", "cell")
