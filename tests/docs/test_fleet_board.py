"""The commands of docs/fleet.md that a board runs, in their order."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

from helpers.bundles import make_bundle
from helpers.commands import environment
from helpers.documents import ON_BOARD, blocks
from helpers.paths import ROOT

PAGE = (ROOT / "docs/fleet.md").read_text("utf-8")


def test_the_commands_of_the_page(tmp_path: Path) -> None:
    for version, name in enumerate(("mine", "next"), 1):
        model = {"name": "room", "version": version}
        make_bundle(tmp_path / f"{name}.edge", seed=version, model=model)
    command = shlex.join([sys.executable, "-m", "edge_lstm_command"])
    (code,) = (
        c for language, c in blocks(PAGE) if language == "sh" and c.startswith(ON_BOARD[:14])
    )
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", f'edge-lstm() {{ {command} "$@"; }}\n{code}'],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    versions = [line.split("version ")[1][0] for line in lines if line.startswith("installed: ")]
    assert versions == ["1", "2", "1", "2"]
    assert [line[:24] for line in lines if line.startswith("current: ")] == [
        "current: room version 2 "
    ]
