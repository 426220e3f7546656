"""The digest of a folder: whatever may differ in it makes another."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_lstm_export.npu.worker.content import digest_of, listed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "lib/__pycache__").mkdir(parents=True)
    (tmp_path / "stamp").write_text("")
    (tmp_path / "lib/a.py").write_text("a = 1\n")
    (tmp_path / "lib/stamp").write_text("")
    (tmp_path / "lib/__pycache__/a.pyc").write_bytes(bytes(100))
    (tmp_path / "lib/big.so").write_bytes(bytes(3 * 2**20 + 1))
    (tmp_path / "lib64").symlink_to("lib")
    return tmp_path


def digest(folder: Path) -> str:
    return digest_of(folder, listed(folder, "stamp"))


def overwrite(path: Path, content: bytes) -> None:
    """In place, with the times that it had."""
    before = path.stat()
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def link_elsewhere(path: Path) -> None:
    path.unlink()
    path.symlink_to("bil")


CHANGES: dict[str, Callable[[Path], object]] = {
    "a byte, in no time": lambda f: overwrite(f / "lib/a.py", b"a = 2\n"),
    "what Python compiled": lambda f: overwrite(f / "lib/__pycache__/a.pyc", b"\1"),
    "the last byte": lambda f: overwrite(f / "lib/big.so", bytes(3 * 2**20) + b"\1"),
    "a name": lambda f: (f / "lib/a.py").rename(f / "lib/b.py"),
    "one more": lambda f: (f / "lib/c.py").write_text(""),
    "one less": lambda f: (f / "lib/a.py").unlink(),
    "a link": lambda f: link_elsewhere(f / "lib64"),
    "a file of the stamp's name": lambda f: (f / "lib/stamp").write_text("x"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_changes_it(folder: Path, change: str) -> None:
    before = digest(folder)
    CHANGES[change](folder)
    assert digest(folder) != before


def test_another_place_and_other_times_do_not(folder: Path) -> None:
    before = digest(folder)
    (folder / "stamp").write_text("written last")
    os.utime(folder / "lib/a.py", (0, 0))
    moved = folder.with_name(f"{folder.name}-moved")
    folder.rename(moved)
    assert digest(moved) == before


def test_what_is_hashed_is_written_out(tmp_path: Path) -> None:
    """By the shell: x=$(printf x | sha256sum | cut -c1-64)
    printf 'a\\000%s\\nl\\000a\\n' $x | sha256sum"""
    (tmp_path / "a").write_text("x")
    (tmp_path / "l").symlink_to("a")
    expected = "14d372aa6648a3aae9dd88c6ec067f42f923631bf6346715f2c4579c82e176ec"
    assert digest(tmp_path) == expected
