"""The inventory and the commands of docs/fleet.md for the desktop, with boards on loopback."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from edge_lstm_export.fleet.hosts import CHECKS
from helpers.boards import boards, needs_sshd, program
from helpers.bundles import make_bundle
from helpers.commands import environment
from helpers.documents import blocks
from helpers.keys import make_key, sign
from helpers.paths import ROOT

PAGE = (ROOT / "docs/fleet.md").read_text("utf-8")
INVENTORY = re.search(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@needs_sshd
@pytest.mark.slow
def test_the_commands_of_the_page(tmp_path: Path) -> None:
    """A board's home folder is one of ours, in which its program begins."""
    assert INVENTORY is not None
    make_bundle(tmp_path / "mine.edge", model={"name": "room", "version": 4})
    public = make_key(tmp_path / "key")
    sign(tmp_path / "mine.edge", tmp_path / "key")
    (tmp_path / "ssh").mkdir()
    with boards(tmp_path / "ssh") as made:
        port = made.start()
        text = INVENTORY[1]
        for name, address in (("front", "pi@10.0.0.7"), ("back", "pi@10.0.0.8")):
            home = tmp_path / name
            home.mkdir()
            (home / "allowed_signers").write_text(f"me {public}\n")
            line = program(tmp_path / f"run-{name}", f"cd {shlex.quote(str(home))}")
            keys = f'address = "{made.address}"\nport = {port}\ncommand = {json.dumps(line)}\n'
            keys += f"ssh_options = {json.dumps(made.options)}\n"
            # One user on one machine stands for both boards, so their folders get other names.
            keys += f'to = "room-{name}"\n'
            assert f'address = "{address}"\n' in text
            text = text.replace(f'address = "{address}"\n', keys)
        (tmp_path / "fleet.toml").write_text(text)
        command = shlex.join([sys.executable, "-m", "edge_lstm_command"])
        (code,) = (c for language, c in blocks(PAGE) if language == "sh" and "--inventory" in c)
        done = subprocess.run(
            ["bash", "-e", "-c", f'edge-lstm() {{ {command} "$@"; }}\n{code}'],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "canary: front" in done.stdout
    assert "wave 1: back" in done.stdout
    assert "\n2 boards: 2 installed\n" in done.stdout
    assert "\nthe same on 2 of 2 boards: room version 4, sha256 " in done.stdout
    for name in ("front", "back"):
        link = (tmp_path / name / f"room-{name}" / "current").readlink()
        assert link.parent == Path("releases")


def test_each_key_of_an_inventory_is_on_the_page() -> None:
    part = PAGE.partition("### The inventory")[2].partition("###")[0]
    rows = [line.split("|")[1] for line in part.splitlines() if line.startswith("| `")]
    assert {key for row in rows for key in re.findall(r"`(\w+)`", row)} == set(CHECKS)
