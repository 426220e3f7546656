"""Faults at the writes of a command, and whether every file is whole afterwards.

The calls of the operating system fail, in a library that is preloaded. So it doesn't matter who
writes: edge-lstm, PyTorch, matplotlib or the standard library.
"""

from __future__ import annotations

import csv
import dataclasses
import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import tomllib

from edge_lstm_runtime import read_bundle
from edge_lstm_runtime.files import unsealed, unsealed_json
from helpers.commands import environment

CHILD = Path(__file__).with_name("write_faults_child.py")
SOURCE = Path(__file__).with_name("write_faults.c")
Run = tuple[int, int, bool]  # the number of the call, the error, whether later calls fail too
NEVER: Run = (-1, 0, False)


@dataclasses.dataclass(frozen=True)
class Ended:
    run: Run
    folder: Path
    code: int
    error: str
    seen: int


def library(folder: Path) -> Path:
    path = folder / "write_faults.so"
    command = ["gcc", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-O1", "-o", str(path)]
    subprocess.run([*command, str(SOURCE), "-ldl"], check=True)
    return path


@dataclasses.dataclass(frozen=True)
class Case:
    """folder: has the files before the command, in "template". root: the part that it writes.
    modules: imported once for all runs."""

    folder: Path
    root: str
    argv: Sequence[str]
    modules: Sequence[str]

    def runs(self, runs: Iterable[Run]) -> list[Ended]:
        runs = list(runs)
        built = library(self.folder)
        job = {
            "modules": list(self.modules),
            "library": str(built),
            "folder": str(self.folder),
            "root": self.root,
            "argv": list(self.argv),
            "runs": runs,
        }
        done = subprocess.run(
            [sys.executable, CHILD],
            input=json.dumps(job),
            env=environment() | {"LD_PRELOAD": str(built)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        return [
            Ended(run, self.folder / str(k), **answer)
            for k, (run, answer) in enumerate(zip(runs, answers, strict=True))
        ]

    def clear(self) -> None:
        for path in self.folder.iterdir():
            if path.name.partition(".")[0].isdigit():
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def count(case: Case) -> int:
    """The calls of the command if none fails."""
    (ended,) = case.runs([NEVER])
    assert ended.code == 0, ended.error
    assert not wrong(case, ended, fails=False)
    case.clear()
    return ended.seen


def wrong(case: Case, ended: Ended, *, fails: bool = True) -> list[str]:
    """What is not as it should be after a run.

    fails: the command has to say so in one line, and not to end with 0.
    """
    found = []
    if fails and ended.code not in (1, 2):
        found.append(f"exit code {ended.code}")
    if not fails and ended.code != 0:
        found.append(f"exit code {ended.code}, and nothing failed")
    last = ended.error.splitlines()[-1:]
    if fails and not (last and last[0].startswith("edge-lstm: error: ")):
        found.append(f"it ends with {last}")
    if "Traceback" in ended.error:
        found.append(ended.error)
    before = case.folder / "template" / case.root
    after = ended.folder / case.root
    for path in sorted(after.rglob("*")) if after.is_dir() else [after]:
        if path.name.startswith(".") or path.suffix == ".tmp":
            found.append(f"{path.name} was left")
        elif path.is_file():
            old = before / path.relative_to(after)
            if not (old.is_file() and old.read_bytes() == path.read_bytes()):
                try:
                    check_whole(path)
                except Exception as e:
                    found.append(f"{path.name} is not whole: {type(e).__name__}: {e}")
    for old in before.rglob("*") if before.is_dir() else []:
        if not (after / old.relative_to(before)).exists():
            found.append(f"{old.name} is gone")
    return [f"{ended.run} {os.strerror(ended.run[1])}: {text}" for text in found]


def check_whole(path: Path) -> None:
    """Raises an exception if the file is not one that the command has written to its end."""
    data = path.read_bytes()
    if path.suffix == ".pt" or path.suffix == ".npz":
        assert unsealed(data)[1]
    elif path.suffix == ".json":
        unsealed_json(data)
        assert data.endswith(b"}\n")
    elif path.suffix == ".edge":
        read_bundle(path)
    elif path.suffix == ".png":
        assert data.endswith(b"IEND\xaeB`\x82")
    elif path.suffix == ".html":
        assert data.rstrip().endswith(b"</html>")
    elif path.suffix == ".toml":
        tomllib.loads(data.decode())
        assert b"[train]" in data
    elif path.suffix == ".csv":
        rows = list(csv.reader(data.decode().splitlines()))
        assert {len(row) for row in rows} <= {len(rows[0])} if rows else True
        assert not data or data.endswith(b"\n")
    elif ".tfevents." in path.name:
        check_events(data)
    else:
        assert data.endswith(b"\n"), "it has no end"


def check_events(data: bytes) -> None:
    """Records: the length, 4 bytes, the content, 4 bytes."""
    while data:
        length = int.from_bytes(data[:8], "little")
        assert len(data) >= length + 16
        data = data[length + 16 :]


def every(calls: int, numbers: Iterable[int] | None = None) -> list[Run]:
    """A fault at each of the calls. numbers: of the calls; all of them if None.

    A full disk stays full for every third, and a broken one is broken once.
    """
    chosen = range(calls) if numbers is None else numbers
    kinds = ((errno.ENOSPC, False), (errno.EIO, False), (errno.ENOSPC, True))
    return [(n, *kinds[n % 3]) for n in chosen]
