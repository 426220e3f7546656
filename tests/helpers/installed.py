"""`edge-lstm install`, and what is in its folder afterwards."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

from helpers.commands import command, edge_lstm, environment

KEYS = {"result", "name", "version", "digest", "was", "backend", "p50_us", "p99_us", "nrmse",
        "step", "why"}  # fmt: skip
CODES = {"installed": 0, "already": 0, "rolled-back": 1, "refused": 2}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tree(folder: Path) -> dict[str, bytes | str]:
    """Every file's bytes and every link's target, by path."""
    return {
        str(p.relative_to(folder)): str(p.readlink()) if p.is_symlink() else p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_symlink() or p.is_file()
    }


def current(folder: Path) -> str | None:
    """The sha256 of the only bundle below the link. Checks that it is whole, and the layout."""
    link = folder / "current"
    if not link.is_symlink():
        assert not link.exists()
        return None
    (bundle,) = (p for p in link.iterdir() if p.suffix == ".edge")
    found = digest(bundle)
    assert str(link.readlink()) == f"releases/{found[:16]}"
    return found


def leftovers(folder: Path) -> list[str]:
    return [p.name for p in folder.rglob("*") if p.name.startswith(".") or p.suffix == ".tmp"]


def install(
    bundle: Path | str, to: Path, *more: str | Path, text: bytes | None = None, **environ: str
) -> dict[str, Any]:
    """Its last line, with "steps", "error" (standard error) and "code"."""
    done = edge_lstm(
        "install", *([bundle] if bundle else []), "--to", to, "--json", *more, text=text, **environ
    )
    return outcome(done.stdout, done.stderr, done.returncode)


def outcome(out: str, error: str, code: int) -> dict[str, Any]:
    *steps, last = [json.loads(line) for line in out.splitlines()]
    assert "Traceback" not in error, error
    assert set(last) == KEYS, last
    if code <= 2:
        assert code == CODES[last["result"]], (last, error)
    if last["result"] == "refused" and code == 2:
        (line,) = error.splitlines()
        assert line == f"edge-lstm: error: {last['why']}"
    return {**last, "steps": [s["step"] for s in steps], "error": error, "code": code}


def status(to: Path, *more: str | Path) -> dict[str, Any]:
    done = edge_lstm("install", "--status", "--to", to, "--json", *more)
    assert done.returncode in (0, 1), done.stderr
    return {**json.loads(done.stdout), "code": done.returncode}


def start(bundle: Path, to: Path, *more: str | Path) -> subprocess.Popen[str]:
    """The command in the background."""
    return subprocess.Popen(
        command("install", bundle, "--to", to, "--json", *more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        text=True,
    )


def reached(process: subprocess.Popen[str], step: str) -> None:
    """Read its lines until this step begins."""
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("step") == step:
            return
    raise AssertionError(f"no step {step}")
