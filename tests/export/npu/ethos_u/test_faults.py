"""Bad input and bad luck: one line, a non-zero exit, no artifact, nothing left behind."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import edge_lstm_runtime as rt
from edge_lstm import load_config, train
from edge_lstm_export.npu.ethos_u import compiled
from edge_lstm_export.npu.ethos_u.environment import ENVIRONMENT
from edge_lstm_export.npu.worker import process
from edge_lstm_export.npu.worker.folder import PREFIX
from edge_lstm_runtime.cli import main
from edge_lstm_runtime.model.network import network_from
from helpers.bundles import members_of
from helpers.faults import processes, without_network
from helpers.specs import one_layer_spec

pytestmark = pytest.mark.usefixtures("tmp")
LAYERS = """
[[model.layers]]
type = "softmax"

[[model.layers]]
type = "gru"
units = 6
"""
REASON = ENVIRONMENT.unsupported_reason()
TARGET = ["--target", "ethos-u55-128", "--scheme", "a16w8"]


@pytest.fixture
def export(regress_run, tmp_path, capsys) -> Callable[..., str]:
    """export(code): the last line that an export which fails says. Only the compiler's logs may
    be beside the bundle that was there before."""

    def fails(code: int, *options: str) -> str:
        folder = tmp_path / "out"
        folder.mkdir()
        (folder / "net.edge").write_bytes(b"the old bundle")
        asked = options or TARGET
        assert main(["export", str(regress_run.path), "-o", f"{folder}/net.edge", *asked]) == code
        assert (folder / "net.edge").read_bytes() == b"the old bundle"
        assert {p.suffix for p in folder.iterdir()} <= {".edge", ".log"}
        said: str = capsys.readouterr().err
        assert said.count("edge-lstm: error: ") == 1
        assert "Traceback" not in said
        return said.splitlines()[-1]

    return fails


def without_form(path: Path) -> None:
    """A bundle with a layer that has no form in integers."""
    layers = [
        {"type": "softmax", "name": "shares", "inputs": ["x"]},
        {"type": "lstm", "name": "r0", "inputs": ["shares"], "units": 8},
        {"type": "dense", "name": "head", "inputs": ["r0"], "units": 3},
    ]
    spec = dataclasses.replace(one_layer_spec("lstm"), network=network_from(3, layers))
    rng = np.random.default_rng(0)
    shapes = spec.network.weights.items()
    weights = {n: rng.normal(size=shape).astype(np.float32) for n, shape in shapes}
    rt.write_bundle(path, spec, weights, members_of(spec, weights))


# --- bad input ---


@pytest.mark.parametrize("verb", ["export", "lint", "targets"])
def test_a_target_that_does_not_exist(verb, export, tmp_path, capsys):
    if verb == "export":
        said = export(2, "--target", "ethos-u55-129")
    else:
        without_form(tmp_path / "odd.edge")
        rest = ["--target"] if verb == "targets" else [str(tmp_path / "odd.edge"), "--target"]
        rest = ["ethos-u55-129"] if verb == "targets" else [*rest, "ethos-u55-129"]
        assert main([verb, *rest]) == 2
        (said,) = capsys.readouterr().err.splitlines()
    assert "'ethos-u55-129'" in said
    assert "did you mean 'ethos-u55-128'?" in said


def test_a_scheme_that_it_does_not_have(tmp_path, capsys):
    without_form(tmp_path / "odd.edge")
    asked = ["--target", "ethos-u55-128", "--scheme", "w8a8"]
    assert main(["lint", str(tmp_path / "odd.edge"), *asked]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "'w8a8' is not offered for ethos-u55-128; expected one of a8w8, a16w8" in said


def test_a_layer_without_a_form_in_integers(regress_run, tmp_path, capsys, monkeypatch):
    """No environment is made for it."""
    monkeypatch.setenv("EDGE_LSTM_CACHE", str(tmp_path / "cache"))
    folder = regress_run.path.parent
    text = (folder / "config.toml").read_text()
    text = text.replace("hidden_size = 8\n", "").replace("epochs = 40", "epochs = 1")
    (folder / "odd.toml").write_text(f"{text}{LAYERS}")
    run = train(load_config(folder / "odd.toml"), tmp_path / "run")
    made = tmp_path / "net.edge"
    asked = ["export", str(run.path), "-o", str(made)]
    assert main([*asked, *TARGET]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == (
        "edge-lstm: error: ethos-u55-128 a16w8 can't be made: "
        "layer 'softmax0' divides by a sum of powers, which has no form in integers here; use a "
        "backend of the CPU, or another network"
    )
    assert not made.exists()
    assert not list((tmp_path / "cache").glob("executorch*"))
    assert main([*asked, "--no-npu"]) == 0
    capsys.readouterr()
    assert main(["lint", str(made), *TARGET]) == 1
    (found,) = capsys.readouterr().out.splitlines()
    assert found.startswith(
        "error: layer-has-integers: layer 'softmax0' divides by a sum of powers"
    )


# --- the environment ---


@pytest.mark.slow
@pytest.mark.skipif(REASON is not None, reason=f"{REASON}")
def test_no_network_and_no_wheel_folder(export, tmp_path, monkeypatch):
    monkeypatch.setenv("EDGE_LSTM_CACHE", str(tmp_path / "cache"))
    without_network(tmp_path, monkeypatch)
    said = export(2)
    assert "can't make the converter's environment: `uv pip install` failed " in said
    assert "UV_FIND_LINKS" in said
    assert not list((tmp_path / "cache").iterdir())


@pytest.mark.slow
@pytest.mark.skipif(REASON is not None, reason=f"{REASON}")
def test_no_disk_for_the_environment(export, tmp_path, monkeypatch):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=30m", "none", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    try:
        monkeypatch.setenv("EDGE_LSTM_CACHE", str(disk / "cache"))
        said = export(2)
        assert "can't make the converter's environment" in said
        assert "No space left on device" in said
        assert not list((disk / "cache").iterdir())
    finally:
        subprocess.run(["umount", str(disk)], check=True)


# --- the compiler ---


@contextlib.contextmanager
def sent(number: int, tmp: Path) -> Iterator[None]:
    """Each worker gets the signal as soon as it is there."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            for worker in processes(f"{tmp}/{PREFIX}"):
                with contextlib.suppress(ProcessLookupError):  # ended meanwhile
                    os.kill(worker, number)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


@pytest.mark.slow
@pytest.mark.skipif(REASON is not None, reason=f"{REASON}")
def test_a_compiler_that_is_killed(export, tmp):
    with sent(signal.SIGKILL, tmp):
        said = export(2)
    for form in ("plain", "fine"):
        assert (
            f"{form}: executorch (ethos-u55-128 a16w8 {form}) can't be loaded: was killed" in said
        )


@pytest.mark.slow
@pytest.mark.skipif(REASON is not None, reason=f"{REASON}")
def test_a_compiler_that_hangs_while_it_is_loaded(export, tmp, monkeypatch):
    monkeypatch.setattr(process, "STEP_TIMEOUT", 2.0)
    with sent(signal.SIGSTOP, tmp):
        said = export(2)
    assert said.count("gave no answer in time (2 s, to be loaded) and was ended") == 2


@pytest.mark.slow
@pytest.mark.skipif(REASON is not None, reason=f"{REASON}")
def test_a_compiler_that_builds_for_too_long(export, monkeypatch):
    monkeypatch.setattr(compiled, "BUILD_TIMEOUT", 0.3)
    assert export(2).count("gave no answer in time (0.3 s in build) and was ended") == 2
