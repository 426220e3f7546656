"""The benchmark's figures: structure, units and order. This machine's speed can't be tested."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_lstm_runtime import Backend, BackendError, BackendUnavailableError, load, write_bundle
from edge_lstm_runtime.backends.numpy import NumpyBackend
from edge_lstm_runtime.cli import main
from edge_lstm_runtime.errors import EdgeLstmError
from edge_lstm_runtime.verify import auto_cache, bench
from edge_lstm_runtime.verify.bench import Figures, latencies, measure, measure_here
from helpers.bundles import members_of
from helpers.commands import edge_lstm
from helpers.plug_ins import replace_backend
from helpers.specs import make_spec
from helpers.weights import random_weights

KEYS = {
    "backend", "artifact", "simulator", "steps", "at_once", "p50_us", "p99_us", "p99_9_us",
    "run_per_second", "streams", "streams_per_second", "memory_kb", "load_ms",
}  # fmt: skip


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "SECONDS", 0.01)  # in this process


def here(capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    code = main([str(a) for a in arguments])
    out, err = capfd.readouterr()
    return code, out, err


def assert_sensible(f: dict[str, Any]) -> None:
    assert set(f) == KEYS
    assert 0 < f["p50_us"] <= f["p99_us"] <= f["p99_9_us"]
    assert f["run_per_second"] > 0
    assert f["streams_per_second"] > 0
    # A step in microseconds and steps a second: if one is off by a thousand, the unit is wrong.
    assert 1e-3 < f["p50_us"] * f["run_per_second"] / 1e6 < 1e3
    assert f["load_ms"] * 1e3 > f["p50_us"] / 1e3


@pytest.mark.parametrize("name", ["numpy", "onnx", "reference"])
def test_a_fresh_process(name: str, classify_file: Path) -> None:
    figures = vars(measure(classify_file, name, None, 50, 3))
    assert_sensible(figures)
    assert (figures["backend"], figures["artifact"], figures["simulator"]) == (name, None, False)
    assert (figures["steps"], figures["streams"], figures["at_once"]) == (50, 3, 1)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc")
def test_memory_is_what_the_backend_brings(classify_file: Path) -> None:
    """ONNX Runtime's library alone is over a megabyte, a small net on NumPy some hundred kB."""
    memory_of = {
        name: measure(classify_file, name, None, 1, 1).memory_kb for name in ("numpy", "onnx")
    }
    assert memory_of["onnx"] is not None
    assert memory_of["numpy"] is not None
    assert memory_of["onnx"] > 3000 > memory_of["numpy"] >= 0


def test_without_proc(classify_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bench, "Path", lambda _: tmp_path / "none")
    assert bench.resident_kb() is None
    figures = measure_here(load(classify_file).bundle, "numpy", None, 5, 2)
    assert figures.memory_kb is None
    assert re.search(r" n/a +[0-9.]+\n$", bench.row(figures))


def test_latencies(classify_file: Path) -> None:
    times = latencies(load(classify_file).bundle, "numpy", None, 50)
    assert times.shape == (50,)
    assert (times > 0).all()


# --- the command ---


def test_all_of_them(
    classify_file: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auto_cache, "recall", lambda _: pytest.fail("auto asks what it remembers"))
    remembered: list[auto_cache.Remembered] = []
    monkeypatch.setattr(auto_cache, "remember", lambda _, answer: remembered.append(answer))
    code, out, err = here(capfd, "bench", classify_file, "--steps", "50", "--streams", "3")
    assert code == 0
    assert out.endswith(bench.LEGEND)
    head, *rows = out.removesuffix(bench.LEGEND).splitlines()
    assert re.split(r"  +", head) == [
        "backend",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
        "run 1/s",
        "3 streams 1/s",
        "memory kB",
        "load ms",
    ]
    assert {"numpy", "onnx"} <= {row.split()[0] for row in rows}
    for row in rows:
        p50, p99, p99_9, *others = (float(v) for v in row.split()[1:])
        assert 0 < p50 <= p99 <= p99_9
        assert len(others) == 4
    for name in ("rknn", "rknn-sim"):
        assert re.search(
            rf"^{name} +not here: the bundle holds no converted model", err, re.MULTILINE
        ), err
    one, several = (answer.backend for answer in remembered)
    assert err.endswith(
        f"edge-lstm: auto takes {one}\nedge-lstm: auto takes {several} for 3 streams\n"
    )


def test_a_row_is_printed_before_the_next_backend_is_measured(
    classify_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With many steps each takes minutes, and the output may go to a file or a pipe."""
    rows: dict[str, list[str]] = {}

    def watched(path: Path, name: str, *arguments: Any) -> Figures:
        *arguments, trusted = arguments
        assert trusted is None
        rows[name] = [line.split()[0] for line in (tmp_path / "out").read_text().splitlines()[1:]]
        return measure_here(load(path).bundle, name, *arguments)

    monkeypatch.setattr("edge_lstm_runtime.cli.bench.measure", watched)
    with (tmp_path / "out").open("w") as file:
        monkeypatch.setattr(sys, "stdout", file)
        assert main(["bench", str(classify_file), "--steps", "5"]) == 0
    assert {"numpy", "onnx"} <= set(rows["rknn"])
    assert rows["onnx"] == rows["rknn"][:-1]


def test_json(classify_file: Path) -> None:
    done = edge_lstm("bench", classify_file, "--backend", "numpy", "--steps", "30", "--json")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    figures = json.loads(line)
    names = {field.name for field in dataclasses.fields(Figures)}
    stated = {key: figures.pop(key) for key in list(figures) if key not in names}
    assert_sensible(figures)
    network = load(classify_file).bundle.spec.network
    assert stated["macs"] == network.macs_per_step
    assert stated["parameters"] == network.parameters
    assert (stated["format"], stated["machine"]) == (1, platform.machine())
    assert stated["bundle"] == {
        "name": classify_file.name,
        "sha256": hashlib.sha256(classify_file.read_bytes()).hexdigest(),
        "bytes": classify_file.stat().st_size,
    }
    assert stated["versions"]["numpy"] == np.__version__
    assert stated["versions"]["python"] == platform.python_version()
    assert stated["cores"] == os.cpu_count()
    assert datetime.date.fromisoformat(stated["date"])
    assert done.stderr == "edge-lstm: measuring numpy\n"


def test_auto(classify_file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, err = here(
        capfd, "bench", classify_file, "--backend", "auto", "--steps", "30", "--json"
    )
    assert code == 0
    (line,) = out.splitlines()
    assert f"edge-lstm: measuring {json.loads(line)['backend']}\n" in err
    assert "right (max_abs" in err


@pytest.mark.parametrize("option", ["steps", "streams"])
def test_none_of_it(option: str, classify_file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, err = here(capfd, "bench", classify_file, f"--{option}", "0")
    assert (code, out) == (2, "")
    assert f"--{option} is 0; expected at least 1" in err


def test_a_backend_that_fails_is_a_finding_and_the_others_go_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    spec = make_spec()
    weights = random_weights(spec)
    write_bundle(
        tmp_path / "a.edge",
        spec,
        weights,
        {**members_of(spec, weights), "model.onnx": b"not a graph"},
    )
    code, out, err = here(capfd, "bench", tmp_path / "a.edge", "--steps", "5", "--json")
    assert code == 1
    names = [json.loads(line)["backend"] for line in out.splitlines()]
    assert "numpy" in names
    assert "onnx" not in names
    assert re.search(r"^onnx +failed: ONNX Runtime did not take model\.onnx", err, re.MULTILINE)
    code, out, err = here(capfd, "bench", tmp_path / "a.edge", "--steps", "5", "--backend", "onnx")
    assert (code, out) == (2, "")
    assert "edge-lstm: error: ONNX Runtime did not take model.onnx" in err


# --- the other process ---

STRANGE = """
import ctypes, os
from edge_lstm_runtime.backends.numpy import FACTS, NumpyBackend

def open_backend(bundle, *, artifact=None):
    os.write(1, b"I RKNN: raw write")                    # without a newline
    print("W rknn-toolkit-lite2: print", end="")
    ctypes.CDLL(None).printf(b"E RKNN: printf\\n")       # comes out when the process ends
    {then}
    return NumpyBackend(bundle.spec, bundle.weights)
"""


def plug_in(folder: Path, monkeypatch: pytest.MonkeyPatch, then: str) -> None:
    info = folder / "strange_npu-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strange-npu\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[edge_lstm.backends]\nstrange = strange_npu:open_backend\n"
    )
    (folder / "strange_npu.py").write_text(STRANGE.format(then=then))
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_a_noisy_library(
    classify_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plug_in(tmp_path, monkeypatch, "pass")
    assert_sensible(vars(measure(classify_file, "strange", None, 5, 2)))


@pytest.mark.parametrize(
    ("then", "words"),
    [
        ("os.abort()", r"'strange' ended its process with code -6$"),
        (
            "raise ZeroDivisionError('by zero')",
            r"'strange' ended its process with code 1: ZeroDivisionError: by zero$",
        ),
    ],
)
def test_a_process_that_dies(
    then: str, words: str, classify_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plug_in(tmp_path, monkeypatch, then)
    with pytest.raises(BackendError, match=words):
        measure(classify_file, "strange", None, 5, 2)


@pytest.mark.slow
def test_auto_is_not_asked_for_what_ended_its_process(
    classify_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plug_in(tmp_path, monkeypatch, "os.abort()")
    done = edge_lstm("bench", classify_file, "--steps", "5", "--streams", "2", folders=[tmp_path])
    assert "failed: backend 'strange' ended its process with code -6" in done.stderr
    assert done.returncode == 1
    assert "edge-lstm: auto takes " in done.stderr.splitlines()[-1]


def test_what_concerns_all_backends_ends_the_command(
    classify_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EdgeLstmError, match=rf"^can't read {tmp_path}/gone\.edge: No such file"):
        measure(tmp_path / "gone.edge", "numpy", None, 10, 2)
    monkeypatch.setenv("EDGE_LSTM_OPEN_SECONDS", "long")
    done = edge_lstm("bench", classify_file, "--backend", "onnx", "--steps", "10")
    assert (done.returncode, done.stdout) == (2, "")
    assert "error: EDGE_LSTM_OPEN_SECONDS is 'long'; expected seconds" in done.stderr


def test_what_is_not_here_is_told_from_what_fails(classify_file: Path, forecast_file: Path) -> None:
    with pytest.raises(BackendUnavailableError, match=r"no model\.onnx"):
        measure(forecast_file, "onnx", None, 5, 2)
    with pytest.raises(BackendError, match="unknown backend 'tpu'") as caught:
        measure(classify_file, "tpu", None, 5, 2)
    assert not isinstance(caught.value, BackendUnavailableError)


# --- what is no plain backend ---


def put(monkeypatch: pytest.MonkeyPatch, name: str, make: Any) -> None:
    replace_backend(monkeypatch, name, open_backend=make)


def test_a_simulator_says_so(classify_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is opened for one stream alone, and not for long."""
    put(monkeypatch, "rknn-sim", lambda bundle, **_: NumpyBackend(bundle.spec, bundle.weights))
    figures = measure_here(load(classify_file).bundle, "rknn-sim", "a.rknn", 10_000, 3)
    assert figures.simulator
    assert figures.steps == 500
    assert figures.streams_per_second is None
    assert figures.memory_kb is None
    row = bench.row(figures)
    assert row.startswith("rknn-sim a.rknn ")
    assert row.endswith("  (a simulator: not the speed of a board)\n")


def test_a_device_without_room_for_so_many(
    classify_file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opened = []

    def opener(bundle: Any, **_: Any) -> Backend:
        opened.append(1)
        if len(opened) > 3:
            raise BackendError("no room")
        return NumpyBackend(bundle.spec, bundle.weights)

    put(monkeypatch, "rknn", opener)
    figures = measure_here(load(classify_file).bundle, "rknn", None, 5, 16)
    assert figures.streams_per_second is None
    assert "16 streams: no room" in caplog.text
    assert "n/a" in bench.row(figures)


def test_runs_of_several_steps_say_so() -> None:
    figures = Figures("rknn", "a-t8.rknn", False, 800, 8, 1.0, 2.0, 3.0, 1e6, 16, 1e5, 12.0, 3.0)
    assert bench.row(figures).endswith("  (in runs of 8)\n")
    assert np.array(bench.row(figures).split()[2:9], float).tolist() == [
        1.0,
        2.0,
        3.0,
        1e6,
        1e5,
        12.0,
        3.0,
    ]
