"""One sshd for the tests of this folder."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_lstm_export.fleet.hosts import Host
from helpers.boards import Boards, boards, needs_sshd, program
from helpers.commands import edge_lstm


@dataclasses.dataclass(frozen=True)
class Fleet:
    """boards: with an sshd at `port`. command: the runtime under test, for the board's shell."""

    boards: Boards
    port: int
    command: str

    def flags(self, to: Path | str, command: str | None = None) -> list[str]:
        """The board, and the options that reach it."""
        return [
            self.boards.address, f"--port={self.port}", f"--to={to}",
            f"--command={command or self.command}", *self.boards.flags(),
        ]  # fmt: skip

    def deploy(
        self, bundle: Path, to: Path | str, *more: str, command: str | None = None
    ) -> tuple[int, dict[str, Any], str]:
        """To the one board: exit code, its row of the JSON, standard error."""
        return row_of(edge_lstm("deploy", bundle, "--json", *self.flags(to, command), *more))

    def ask(self, to: Path | str, *more: str, command: str | None = None) -> dict[str, Any]:
        return row_of(edge_lstm("fleet", "status", "--json", *self.flags(to, command), *more))[1]

    def host(self, to: str, command: str) -> Host:
        """For the library."""
        options = tuple(self.boards.options)
        return Host(
            "board", self.boards.address, to, self.port, command=command, ssh_options=options
        )


def row_of(done: subprocess.CompletedProcess[str]) -> tuple[int, dict[str, Any], str]:
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stdout, done.stderr
    (row,) = json.loads(done.stdout)["boards"]
    return done.returncode, row, done.stderr


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    if needs_sshd.args[0]:
        pytest.skip(needs_sshd.kwargs["reason"])
    folder = tmp_path_factory.mktemp("fleet")
    with boards(folder) as made:
        place = folder / "a board's"  # a name that a shell would take apart
        place.mkdir()
        yield Fleet(made, made.start(), program(place / "edge-lstm"))
    shutil.rmtree(folder, ignore_errors=True)
