"""Faults put into the real converter end in one line that names the cause, and leave nothing."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_lstm_export.graphs.npu import FORMS
from edge_lstm_export.npu.rknn.environment import ENVIRONMENT
from edge_lstm_export.npu.worker import making, process
from edge_lstm_export.npu.worker.folder import PREFIX
from edge_lstm_runtime import ConfigError
from helpers.converter import NEEDS_CONVERTER, convert
from helpers.faults import export_fails, fails, gone, processes, while_building, works
from helpers.paths import ROOT

pytestmark = [pytest.mark.slow, NEEDS_CONVERTER, pytest.mark.usefixtures("tmp")]


# --- 1: killed ---


def test_killed_while_it_builds(model, tmp, tmp_path):
    watcher = while_building(tmp, lambda worker: os.kill(worker, signal.SIGKILL))
    fails(
        lambda: convert(model, log_file=tmp_path / "vendor.log"),
        r"rk3588 fp16\) .*killed \(SIGKILL\).*vendor\.log$",
    )
    watcher.join()
    assert (tmp_path / "vendor.log").stat().st_size > 0
    works(model)


def test_crash_names_the_signal(model):
    with convert(model) as converter:
        os.kill(converter._child.process.pid, signal.SIGSEGV)
        fails(
            lambda: converter.run(np.zeros((5, 6), np.float32)),
            r"rk3588 fp16\) crashed \(SIGSEGV\)$",
        )
    works(model)


def test_export_whose_converter_is_killed_leaves_the_old_bundle(trained, tmp, tmp_path, model):
    watchers = [while_building(tmp, lambda worker: os.kill(worker, signal.SIGSTOP))]
    done = threading.Event()

    def kill_all() -> None:
        while not done.wait(0.02):
            for worker in processes(f"{tmp}/{PREFIX}"):
                with contextlib.suppress(ProcessLookupError):  # ended meanwhile
                    os.kill(worker, signal.SIGKILL)

    watchers.append(threading.Thread(target=kill_all))
    watchers[1].start()
    try:
        export_fails(
            trained, tmp_path, r"rk3588 fp16 can't be made: cell: .*SIGKILL.*; fused: .*SIGKILL"
        )
    finally:
        done.set()
        for watcher in watchers:
            watcher.join()
    works(model)


# --- 2: hung ---


def test_hung_while_it_builds(model, tmp):
    watcher = while_building(tmp, lambda worker: os.kill(worker, signal.SIGSTOP))
    start = time.monotonic()
    fails(
        lambda: convert(model, timeout=3), r"gave no answer in time \(3 s in build\) and was ended"
    )
    watcher.join()
    assert time.monotonic() - start < 15
    works(model)


def test_export_whose_converter_hangs_leaves_the_old_bundle(
    trained, tmp, tmp_path, monkeypatch, model
):
    """It is stopped as soon as it is there, while the vendor's code is being loaded."""
    monkeypatch.setattr(process, "STEP_TIMEOUT", 3.0)
    done = threading.Event()

    def stop_all() -> None:
        while not done.wait(0.02):
            for worker in processes(f"{tmp}/{PREFIX}"):
                with contextlib.suppress(ProcessLookupError):  # ended meanwhile
                    os.kill(worker, signal.SIGSTOP)

    watcher = threading.Thread(target=stop_all)
    watcher.start()
    try:
        export_fails(
            trained,
            tmp_path,
            r"rk3588 fp16 can't be made: cell: .*no answer in time.*; fused: .*no answer in time",
        )
    finally:
        done.set()
        watcher.join()
    monkeypatch.undo()
    works(model)


def test_hung_while_it_is_given_more_than_a_pipe_holds(model):
    with convert(model) as converter:
        worker = converter._child.process
        os.kill(worker.pid, signal.SIGSTOP)
        fails(
            lambda: converter.floats("run", np.zeros((100_000, 6)), 0.5),
            r"gave no answer in time \(0.5 s in run\) and was ended",
        )
        assert worker.returncode == -signal.SIGKILL
    works(model)


# --- 3: out of memory ---


@pytest.mark.parametrize(("limit", "hidden"), [("0.5", 16), ("0.75", 16), ("1", 1024)])
def test_out_of_memory(random_model, model, monkeypatch, limit, hidden):
    """While the vendor's code is loaded, and while it builds: exceptions and crashes alike."""
    monkeypatch.setenv("EDGE_LSTM_CONVERTER_MEMORY_GB", limit)
    said = fails(
        lambda: convert(random_model(1, hidden), scheme="w8a8"),
        rf"ran out of memory \(limit {limit} GiB, set by EDGE_LSTM_CONVERTER_MEMORY_GB\)",
    )
    assert "damaged" not in said
    monkeypatch.delenv("EDGE_LSTM_CONVERTER_MEMORY_GB")
    works(model)


def test_export_out_of_memory_leaves_the_old_bundle(trained, tmp_path, monkeypatch):
    monkeypatch.setenv("EDGE_LSTM_CONVERTER_MEMORY_GB", "0.75")
    export_fails(trained, tmp_path, "out of memory")


@pytest.mark.parametrize("text", ["much", "0", "-1", "nan", "inf"])
def test_memory_limit_that_is_no_number(model, monkeypatch, text):
    monkeypatch.setenv("EDGE_LSTM_CONVERTER_MEMORY_GB", text)
    with pytest.raises(
        ConfigError, match=rf"EDGE_LSTM_CONVERTER_MEMORY_GB is '{text}'; expected a number of GiB"
    ):
        convert(model)


def test_several_side_by_side_use_one_thread_each_within_the_limit(model):
    with convert(model) as converter:
        status = Path(f"/proc/{converter._child.process.pid}/environ").read_text()
        limits = Path(f"/proc/{converter._child.process.pid}/limits").read_text()
    assert "OMP_NUM_THREADS=1" in status
    assert re.search(rf"Max address space +{8 * 2**30} ", limits)
    assert re.search(r"Max core file size +0 ", limits)


# --- 4: disk full ---


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Callable[[str], Path]]:
    mounted = []

    def mount(size: str) -> Path:
        folder = tmp_path / f"disk-{size}"
        folder.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("size", ["4k", "16k", "32k", "64k", "100k", "150k", "200k"])
def test_disk_full(model, small_disk, tmp_path, monkeypatch, size):
    """From a disk that takes nothing to one that takes nearly all: whoever writes meets its end."""
    disk = small_disk(size)
    monkeypatch.setenv("TMPDIR", str(disk))
    monkeypatch.setattr(tempfile, "tempdir", None)
    said = fails(
        lambda: convert(model, log_file=tmp_path / "vendor.log"),
        "No space left on device|no space left in",
    )
    assert str(disk) in said
    assert not list(disk.iterdir())
    monkeypatch.undo()
    works(model)


def test_export_on_a_full_disk_leaves_the_old_bundle(trained, small_disk, tmp_path, monkeypatch):
    disk = small_disk("64k")
    monkeypatch.setenv("TMPDIR", str(disk))
    monkeypatch.setattr(tempfile, "tempdir", None)
    export_fails(trained, tmp_path, "no space left in|No space left on device")
    assert not list(disk.iterdir())


def test_log_that_cannot_be_kept(model, small_disk, tmp):
    disk = small_disk("4k")
    watcher = while_building(tmp, lambda worker: os.kill(worker, signal.SIGKILL))
    (disk / "full").write_bytes(bytes(4096))
    fails(
        lambda: convert(model, log_file=disk / "vendor.log"),
        r"SIGKILL.*its log could not be kept in .*vendor.log: No space left on device$",
    )
    watcher.join()
    assert [p.name for p in disk.iterdir()] == ["full"]


def test_disk_full_while_the_environment_is_made(small_disk, monkeypatch, model):
    disk = small_disk("30m")
    monkeypatch.setenv("EDGE_LSTM_CACHE", str(disk / "cache"))
    fails(
        lambda: making.interpreter(ENVIRONMENT, lambda _: None),
        r"can't make the converter's environment.*No space left on device",
    )
    assert not list((disk / "cache").iterdir())
    monkeypatch.undo()
    works(model)


# --- 5: more that the vendor's code does ---


def test_traceback_in_the_vendors_code_is_kept_and_ends_in_one_line(model, tmp_path):
    spec, weights = model
    graph = FORMS["cell"](spec, weights, {}).graph
    graph.opset_import[0].version = 21
    log_file = tmp_path / "vendor.log"
    fails(
        lambda: convert(model, graph=graph.SerializeToString(), log_file=log_file),
        r"failed in build: \w+: .*opset 21.*vendor\.log$",
    )
    assert "Traceback (most recent call last)" in log_file.read_text()
    works(model)


@pytest.mark.parametrize(
    ("target", "message"), [("/dev/null", "returned success and wrote no model")]
)
def test_file_of_zero_length(model, monkeypatch, target, message):
    """The vendor's code writes, returns 0, and nothing is there."""
    claim = process.claim_folder

    def with_a_sink():
        folder, lock = claim()
        (folder / "model.rknn").symlink_to(target)
        return folder, lock

    monkeypatch.setattr(process, "claim_folder", with_a_sink)
    fails(lambda: convert(model), message)
    monkeypatch.undo()
    works(model)


def test_file_that_is_cut(model, monkeypatch):
    read = Path.read_bytes
    monkeypatch.setattr(
        Path,
        "read_bytes",
        lambda path: read(path)[:5000] if path.name == "model.rknn" else read(path),
    )
    fails(lambda: convert(model), r"wrote only a part of the model \(5000 bytes\)")


# --- 6: the parent ends ---


def test_interrupted_while_it_builds(model, tmp):
    watcher = while_building(
        tmp, lambda worker: (os.kill(worker, signal.SIGSTOP), os.kill(os.getpid(), signal.SIGINT))
    )
    # a shell starts what it puts into the background with it ignored
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            convert(model, timeout=60)
    finally:
        signal.signal(signal.SIGINT, before)
    watcher.join()
    works(model)


PARENT = """
import sys
sys.path[:0] = {path!r}
from helpers.converter import convert
from helpers.weights import random_model
convert(random_model(1, 8))
"""


def test_worker_does_not_outlive_a_killed_parent(model, tmp):
    """A stopped worker can do nothing itself, as inside the vendor's code.

    The next run removes what the parent left.
    """
    stopped = threading.Event()

    def stop(worker: int) -> None:
        os.kill(worker, signal.SIGSTOP)
        stopped.set()

    watcher = while_building(tmp, stop)
    path = [str(ROOT), str(ROOT / "export"), str(ROOT / "deploy"), str(ROOT / "tests")]
    parent = subprocess.Popen([sys.executable, "-c", PARENT.format(path=path)])
    try:
        assert stopped.wait(60)
    finally:
        parent.kill()
        parent.wait()
        watcher.join()
    assert gone(str(tmp))
    (left,) = tmp.glob(f"{PREFIX}*")
    os.utime(left, (0, 0))
    works(model)
