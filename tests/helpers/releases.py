"""What the examples are given: signed bundles of two versions, and a board that trusts the key."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from helpers.bundles import make_bundle
from helpers.commands import command, environment
from helpers.keys import make_key, sign
from helpers.paths import ROOT

EXAMPLES = ROOT / "examples"


class Board:
    """A folder that stands for the board's disk. Its command `edge-lstm` is the working tree's."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.model = folder / "model"
        self.model.mkdir(parents=True)
        self.key = folder / "release"
        public = make_key(self.key)
        self.signers = self.model / "allowed_signers"
        self.signers.write_text(f"release@example.com {public}\n")
        program = folder / "edge-lstm"
        words = " ".join(f"'{word}'" for word in command())
        program.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        program.chmod(0o755)
        self.settings = folder / "edge-lstm.conf"
        text = (EXAMPLES / "edge-lstm.conf").read_text()
        for key, value in (
            ("EDGE_LSTM", program),
            ("TO", self.model),
            ("RELOAD", ""),
            ("HEALTH", ""),
        ):
            lines = [line for line in text.splitlines() if line.startswith(f"{key}=")]
            assert len(lines) == 1, key
            text = text.replace(lines[0], f"{key}={value}")
        self.settings.write_text(text)

    def release(self, version: int, folder: Path) -> Path:
        """A signed bundle, model.edge in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "model.edge"
        make_bundle(path, seed=version, model={"name": "gesture", "version": version})
        sign(path, self.key)
        return path

    def runs(self) -> bytes:
        """The bundle that is the current one, b"" if none."""
        found = list((self.model / "current").glob("*.edge"))
        assert len(found) <= 1
        return found[0].read_bytes() if found else b""

    def call(self, *words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """A script of an example."""
        known = {**environment(), "EDGE_LSTM_CONF": str(self.settings), **variables}
        return run(list(map(str, words)), known)


def run(
    words: Sequence[str], variables: dict[str, str] | None = None, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        env=variables or dict(os.environ),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
