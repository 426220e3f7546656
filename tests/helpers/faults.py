"""What the tests that put faults into the real converter share."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_lstm_export import export_run
from edge_lstm_export.npu.rknn.environment import ENVIRONMENT
from edge_lstm_export.npu.worker.folder import PREFIX
from edge_lstm_runtime import ConversionError, Reference, compare
from edge_lstm_runtime.verify.error import FLOAT16
from helpers.converter import convert

NOWHERE = "http://127.0.0.1:9"


def processes(text: str) -> list[int]:
    """Those with the text in their command line, but for zombies."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (
                text in (folder / "cmdline").read_bytes().decode(errors="replace")
                and int(folder.name) != os.getpid()
            ):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def gone(text: str, seconds: float = 5) -> bool:
    end = time.monotonic() + seconds
    while processes(text):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def watched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """TMPDIR, which has to be as empty afterwards as before.

    Nor may a process of the converter be left, or anything half made beside its environment.
    """
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield folder
    assert gone(str(folder)), "a process was left"
    kept = ".ses"  # of this process's onnxruntime
    assert not [p for p in folder.iterdir() if p.name != kept], "a file was left in TMPDIR"
    cache = ENVIRONMENT.home.parent
    assert not [p.name for p in cache.glob(".building-*")], "a half-made environment was left"


def works(model) -> None:
    """The next run."""
    spec, weights = model
    rows = np.random.default_rng(2).normal(size=(20, spec.feature_size)).astype(np.float32)
    with convert(model) as converter:
        comparison = compare(converter.run(rows), Reference(spec, weights).run(rows))
    assert comparison.within(FLOAT16), comparison


def fails(start: Callable[[], object], message: str) -> str:
    with pytest.raises(ConversionError, match=message) as caught:
        start()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def export_fails(trained, tmp_path: Path, message: str) -> str:
    """An export of fp16 onto an old bundle, which stays as it is.

    No report is written: only the vendor's logs may be beside it.
    """
    out = tmp_path / "out" / "motions.edge"
    out.parent.mkdir()
    out.write_bytes(b"the old bundle")
    said = fails(lambda: export_run(trained, out, schemes=("fp16",)), message)
    assert out.read_bytes() == b"the old bundle"
    assert {p.suffix for p in out.parent.iterdir()} <= {".edge", ".log"}
    return said


def while_building(tmp: Path, action: Callable[[int], None]) -> threading.Thread:
    """Calls action with the worker's id as soon as the vendor's code has printed its first line."""

    def watch() -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for log in tmp.glob(f"{PREFIX}*/log.txt"):
                with_text = log.stat().st_size if log.exists() else 0
                if with_text and (workers := processes(str(log.parent))):
                    action(workers[0])
                    return
            time.sleep(0.001)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in os.environ if n.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    for name in (
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
    ):
        monkeypatch.setenv(name, NOWHERE)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
