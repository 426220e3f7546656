"""Twenty boards on loopback, some of which can't take the bundle; a deploy that is killed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.boards import Boards, boards, free_port, needs_sshd, program
from helpers.bundles import make_bundle
from helpers.commands import command, edge_lstm, environment
from helpers.installed import current, digest, install, leftovers
from helpers.plug_ins import plug_in
from helpers.served import service
from helpers.specs import make_spec

pytestmark = [needs_sshd, pytest.mark.slow]
BAD = ("b03", "b09", "b15")  # a backend there dies in the check
FULL = "b06"
GONE = "b12"
NAMES = [f"b{k:02d}" for k in range(20)]
DIES = """
import os, signal
from edge_lstm_runtime import Facts
FACTS = Facts("float32", runs_on="npu")
def open_backend(bundle, *, artifact=None):
    os.kill(os.getpid(), signal.SIGSEGV)
"""


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[str]:
    """The folder on a disk of 64 kB -> the first line of a board's program.

    If nobody may mount here, a limit of a file's size stands for it.
    """
    folder.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.getuid() or subprocess.run(mounted, capture_output=True, check=False).returncode:
        yield "ulimit -f 80"  # blocks of 512 bytes
        return
    try:
        yield ""
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextlib.contextmanager
def twenty(folder: Path, old: Path) -> Iterator[list[str]]:
    """An sshd for each board but the one that is gone -> the options of a command.

    On each board the old bundle is installed.
    """
    first = folder / "first"
    assert install(old, first)["result"] == "installed"
    plug_in(folder, "dies", dies=DIES)
    good = program(folder / "edge-lstm")
    path = os.pathsep.join([environment()["PYTHONPATH"], str(folder)])
    # Or else the third try of a check would go on without the backend that dies.
    bad = program(folder / "bad", PYTHONPATH=path, EDGE_LSTM_REMEMBER="0")
    (folder / "ssh").mkdir()
    with boards(folder / "ssh") as made, small_disk(folder / FULL) as limited:
        full = program(folder / "full", limited)
        lines = ["[defaults]", f"ssh_options = {json.dumps(made.options)}"]
        for name in NAMES:
            to = folder / name / "har"
            shutil.copytree(first, to, symlinks=True)
            port = free_port() if name == GONE else made.start()
            line = bad if name in BAD else full if name == FULL else good
            table = {"name": name, "address": made.address, "to": str(to), "command": line}
            lines += ["[[hosts]]", f"port = {port}"]
            lines += [f"{key} = {json.dumps(value)}" for key, value in table.items()]
        (folder / "fleet.toml").write_text("\n".join(lines))
        yield [f"--inventory={folder / 'fleet.toml'}"]


def killed_half_way(words: list[str]) -> None:
    """Killed when the sixth board has ended, and others are under way."""
    with subprocess.Popen(
        command(*words),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment(),
        text=True,
    ) as process:
        assert process.stderr is not None
        ended = 0
        for line in process.stderr:
            ended += line.split()[1].rstrip(":") in ("installed", "refused", "unreachable")
            if ended == 6:
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL


def test_twenty_boards_killed_half_way_and_again(tmp_path: Path) -> None:
    old, new = tmp_path / "old.edge", tmp_path / "har.edge"
    make_bundle(old, make_spec(hidden=4), model={"name": "har", "version": 1})
    make_bundle(new, make_spec(hidden=64), seed=1, model={"name": "har", "version": 2})
    with twenty(tmp_path, old) as options:
        rollout = ["--wave=8", "--parallel=4", "--allow-failures=5"]
        words = ["deploy", str(new), *options, *rollout]
        killed_half_way(words)
        done = edge_lstm(*words, "--json")
        assert done.returncode == 1, done.stderr
        found = json.loads(done.stdout)
        assert (found["complete"], found["bundle"]["version"]) == (False, 2)
        rows = {row["host"]: row for row in found["boards"]}
        assert list(rows) == NAMES
        why = dict.fromkeys(BAD, "the check on this machine has no answer: ended by SIGSEGV")
        why |= {FULL: "make room", GONE: "Connection refused; try `ssh "}
        if "File too large" in rows[FULL]["why"]:
            why[FULL] = "raise the limit of a file's size"
        for name, row in rows.items():
            to = tmp_path / name / "har"
            bad = name in why
            assert current(to) == digest(old if bad else new), row
            assert leftovers(to) == []
            if not bad:
                assert row["result"] in ("installed", "already")
                assert (row["version"], row["why"]) == (2, None)
                continue
            assert row["result"] == ("unreachable" if name == GONE else "refused")
            assert why[name] in row["why"]
            assert row["version"] == (None if name == GONE else 1)
        already = [row for row in rows.values() if row["result"] == "already"]
        assert 2 <= len(already) <= 12
        asked = edge_lstm("fleet", "status", *options)
        assert asked.returncode == 1
        assert asked.stdout.splitlines()[-3:] == [
            f"the same on 15 of 20 boards: har version 2, sha256 {digest(new)[:12]}",
            f"other: {', '.join(sorted([*BAD, FULL]))}",
            f"no answer: {GONE}",
        ]


def test_a_service_that_is_not_healthy_goes_back(tmp_path: Path) -> None:
    """The first board's service never loads the new bundle. The second one is not touched."""
    old, new = tmp_path / "old.edge", tmp_path / "har.edge"
    make_bundle(old, make_spec(hidden=4), model={"name": "har", "version": 1})
    make_bundle(new, make_spec(hidden=4), seed=1, model={"name": "har", "version": 2})
    for name in ("a", "b"):
        assert install(old, tmp_path / name)["result"] == "installed"
    line = program(tmp_path / "edge-lstm")
    (tmp_path / "ssh").mkdir()
    with boards(tmp_path / "ssh") as made, service(tmp_path / "a" / "current") as running:
        options = _inventory(made, tmp_path, line, f"http://127.0.0.1:{running.port}")
        done = edge_lstm("deploy", new, *options, "--reload=true", "--watch=0.5", "--json")
        a, b = json.loads(done.stdout)["boards"]
        assert (done.returncode, a["result"], a["step"]) == (1, "rolled-back", "watch")
        assert (a["version"], a["digest"]) == (1, digest(old))
        assert b["why"] == "not begun, because the canary a failed"
        assert current(tmp_path / "a") == current(tmp_path / "b") == digest(old)
        reload = f"--reload=kill -HUP {running.process.pid}"
        done = edge_lstm("deploy", new, "a", *options, reload, "--watch=1.5", "--json")
        (a,) = json.loads(done.stdout)["boards"]
        assert (done.returncode, a["result"]) == (0, "installed"), a
        asked = edge_lstm("fleet", "status", "a", *options, "--json")
        (a,) = json.loads(asked.stdout)["boards"]
        assert (asked.returncode, a["ready"], a["serving"]) == (0, True, digest(new))


def _inventory(made: Boards, folder: Path, line: str, health: str) -> list[str]:
    port = made.start()
    lines = ["[defaults]", f"port = {port}", f"ssh_options = {json.dumps(made.options)}",
             f"command = {json.dumps(line)}", f'health = "{health}"']  # fmt: skip
    for name in ("a", "b"):
        lines += ["[[hosts]]", f'name = "{name}"', f'address = "{made.address}"']
        lines += [f"to = {json.dumps(str(folder / name))}"]
    (folder / "fleet.toml").write_text("\n".join(lines))
    return [f"--inventory={folder / 'fleet.toml'}"]
