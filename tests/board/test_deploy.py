"""`edge-lstm deploy` to an emulated arm64 board, over a real sshd on loopback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.boards import boards, needs_sshd, program
from helpers.bundles import make_bundle
from helpers.commands import edge_lstm
from helpers.installed import current, digest
from helpers.on_board import Machine
from helpers.specs import make_spec

pytestmark = [needs_sshd, pytest.mark.slow]


def test_a_bundle_for_an_emulated_board(arm64: Machine, tmp_path: Path) -> None:
    """Its native kernel is the wheel's for aarch64, and is checked there."""
    bundle = tmp_path / "har.edge"
    make_bundle(bundle, make_spec(hidden=4), model={"name": "har", "version": 3})
    kept = ("PYTHONPATH", "PYTHONNOUSERSITE", "QEMU_LD_PREFIX", "QEMU_CPU")
    variables = arm64.board.variables(arm64.project, npu=False)
    command = arm64.board.command(arm64.project / "bin/edge-lstm")
    line = program(
        tmp_path / "edge-lstm", command=command, **{name: variables[name] for name in kept}
    )
    (tmp_path / "ssh").mkdir()
    with boards(tmp_path / "ssh") as made:
        options = [made.address, f"--port={made.start()}", f"--command={line}", *made.flags()]
        options += [f"--to={tmp_path / 'har'}", "--json"]
        done = edge_lstm("deploy", bundle, *options)
        asked = edge_lstm("fleet", "status", *options)
    (row,) = json.loads(done.stdout)["boards"]
    assert (done.returncode, row["result"], row["why"]) == (0, "installed", None), done.stderr
    assert (row["backend"], row["version"]) == ("native", 3)
    assert 0 <= row["nrmse"] < 1e-5
    assert current(tmp_path / "har") == digest(bundle)
    (told,) = json.loads(asked.stdout)["boards"]
    assert (asked.returncode, told["backend"], told["digest"]) == (0, "native", digest(bundle))
