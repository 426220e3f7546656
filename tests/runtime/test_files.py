"""A full disk, a kill, two writers: the old bundle or the new one, never half of one."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edge_lstm_runtime import BundleError, read_bundle
from edge_lstm_runtime.files import (
    atomic_write,
    check_file_writable,
    sealed,
    sealed_json,
    unsealed,
    unsealed_json,
)
from helpers.bundles import make_bundle
from helpers.commands import environment
from helpers.specs import make_spec

BIG = make_spec(hidden=64, layers=2)  # about 200 kB


def child(
    script: str, *arguments: str | Path, prefix: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*prefix, sys.executable, "-c", script, *map(str, arguments)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_limit_on_the_file_size(tmp_path: Path) -> None:
    # A real short write by the kernel: the process may write no more than 100 kB into one file.
    make_bundle(tmp_path / "a.edge", BIG, seed=1)
    old = (tmp_path / "a.edge").read_bytes()
    assert len(old) > 150_000
    done = child(
        "import resource, sys; from pathlib import Path; from edge_lstm_runtime import "
        "BundleError\n"
        "from helpers.bundles import make_bundle; from helpers.specs import make_spec\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try: make_bundle(Path(sys.argv[1]), make_spec(hidden=64, layers=2), seed=2)\n"
        "except BundleError as e: print(e)",
        tmp_path / "a.edge",
    )
    assert "File too large; what was there before is unchanged" in done.stdout, done.stderr
    assert (tmp_path / "a.edge").read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["a.edge"]


def can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    trial = subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
    )
    return trial.returncode == 0


@pytest.mark.skipif(not can_mount(), reason="a file system of its own can't be mounted here")
def test_a_full_disk(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from edge_lstm_runtime import BundleError, "
        "read_bundle\n"
        "from helpers.bundles import make_bundle; from helpers.specs import make_spec\n"
        "path = Path(sys.argv[1]) / 'a.edge'; big = make_spec(hidden=64, layers=2)\n"
        "make_bundle(path, big, seed=1); old = path.read_bytes()\n"
        "try: make_bundle(path, big, seed=2)\n"
        "except BundleError as e: print(e)\n"
        "assert path.read_bytes() == old; read_bundle(path)\n"
        "assert [p.name for p in path.parent.iterdir()] == ['a.edge'], "
        "list(path.parent.iterdir())\n"
        "print('whole')"
    )
    disk = tmp_path / "disk"
    disk.mkdir()
    # 300 kB hold one bundle and not a second one beside it.
    done = child(
        script,
        disk,
        prefix=(
            "unshare",
            "-rm",
            "sh",
            "-c",
            f'mount -t tmpfs -o size=300k none "{disk}" && exec "$@"',
            "sh",
        ),
    )
    assert "No space left on device; what was there before is unchanged" in done.stdout, done.stderr
    assert done.stdout.endswith("whole\n"), done.stderr


@pytest.mark.parametrize("call", ["fsync", "fdopen"])
def test_an_error_at_the_last_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    make_bundle(tmp_path / "a.edge", seed=1)
    old = (tmp_path / "a.edge").read_bytes()

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(BundleError, match="No space left on device"):
        make_bundle(tmp_path / "a.edge", seed=2)
    monkeypatch.undo()
    assert (tmp_path / "a.edge").read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["a.edge"]


def test_only_a_file_is_replaced(tmp_path: Path) -> None:
    """As root, a rename would make a file of /dev/null."""
    pipe = tmp_path / "pipe.edge"
    os.mkfifo(pipe)
    link = tmp_path / "null.edge"
    link.symlink_to(os.devnull)
    for path in (pipe, link):
        with pytest.raises(OSError, match="it is a device or a pipe, not a file"):
            check_file_writable(path)
        with pytest.raises(BundleError, match="it is a device or a pipe, not a file"):
            make_bundle(path, seed=1)
    assert pipe.is_fifo()
    assert link.is_symlink()


def test_a_name_too_long_for_its_temporary_file_is_found_before(tmp_path: Path) -> None:
    path = tmp_path / f"{'a' * 245}.edge"  # itself one that a file may have
    with pytest.raises(OSError, match="File name too long"):
        check_file_writable(path)


def test_kill_during_the_write(tmp_path: Path) -> None:
    path = tmp_path / "a.edge"
    make_bundle(path, BIG)
    whole = {path.read_bytes()}
    make_bundle(path, BIG, seed=1)
    whole.add(path.read_bytes())
    script = (
        "import sys, itertools; from pathlib import Path; from edge_lstm_runtime.files import "
        "atomic_write\n"
        "parts = [Path(p).read_bytes() for p in sys.argv[2:]]\n"
        "print('ready', flush=True)\n"
        "for data in itertools.cycle(parts):\n"
        "    with atomic_write(sys.argv[1]) as file:\n"
        "        for k in range(0, len(data), 4096): file.write(data[k:k + 4096]); file.flush()\n"
    )
    sources = []
    for k, data in enumerate(sorted(whole)):
        sources.append(tmp_path / f"source{k}")
        sources[-1].write_bytes(data)
    left = 0
    for n in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(path), *map(str, sources)],
            env=environment(),
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.03 + 0.007 * n)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert path.read_bytes() in whole
        read_bundle(path)
        left += sum(p.name.endswith(".tmp") for p in tmp_path.iterdir())
    assert left, "no kill fell into a write, so nothing was tested"


def test_an_exception_in_the_block_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")

    def interrupted() -> None:
        with atomic_write(tmp_path / "a") as file:
            file.write(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_readable_by_others_as_a_plain_file_would_be(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a") as file:
        file.write(b"x")
    (tmp_path / "b").write_bytes(b"x")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == stat.S_IMODE(
        (tmp_path / "b").stat().st_mode
    )


def test_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with atomic_write("a") as file:
        file.write(b"x")
    assert (tmp_path / "a").read_bytes() == b"x"


@pytest.mark.parametrize("content", [b"", b"x", b"\nedge-lstm sha256 ", bytes(1000)])
def test_a_seal(content: bytes) -> None:
    data = sealed(content)
    digest = hashlib.sha256(content).hexdigest().encode()
    assert data == content + b"\nedge-lstm sha256 " + digest + b"\n"
    assert unsealed(data) == (content, True)
    assert unsealed(sealed(data)) == (data, True)
    if content:
        assert unsealed(content) == (content, False)
        with pytest.raises(ValueError, match="does not have the sha256"):
            unsealed(b"y" + data[1:])


def test_sealed_json_is_json_with_a_sha256() -> None:
    data = sealed_json({"a": [1.5, "ö"], "b": None})
    rest = '{\n  "a": [\n    1.5,\n    "\\u00f6"\n  ],\n  "b": null'
    digest = hashlib.sha256(f"{rest}\n}}".encode()).hexdigest()
    assert data.decode() == f'{rest},\n  "sha256": "{digest}"\n}}\n'
    assert unsealed_json(data) == {"a": [1.5, "ö"], "b": None}
    assert unsealed_json(json.dumps(json.loads(data)).encode()) == {"a": [1.5, "ö"], "b": None}
    plan = f'{{"config": 1, "fingerprint": "{digest}"}}'.encode()  # of an earlier version
    for other in (b"{}", b"[]", b'{"a": 1}', b'{"sha256": {}}', plan):
        assert unsealed_json(other) == json.loads(other)
    for before, after in ((b"1.5", b"1.4"), (b'"b"', b'"c"'), (b'"sha256"', b'"sha257"')):
        with pytest.raises(ValueError, match="do not have the sha256"):
            unsealed_json(data.replace(before, after))


def test_only_one_process_at_a_time(tmp_path: Path) -> None:
    """In a folder, and at a file. A killed process blocks nobody, and leaves what is no matter."""
    script = (
        "import sys, time; from pathlib import Path; "
        "from edge_lstm_runtime.files import one_at_a_time\n"
        "with one_at_a_time(Path(sys.argv[1]), SystemExit):\n"
        "    print('held', flush=True); time.sleep(float(sys.argv[2]))"
    )

    def start(path: Path, seconds: float) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", script, str(path), str(seconds)],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", tmp_path / "a.edge"):
        first = start(path, 60)
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        assert start(path, 0).communicate() == (
            "",
            f"{path}: another process holds it and is writing there; wait until that one has "
            "ended, or choose another name\n",
        )
        first.kill()
        first.communicate()
        assert start(path, 0).communicate() == ("held\n", "")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder"]
