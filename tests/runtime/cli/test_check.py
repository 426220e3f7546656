"""`edge-lstm check`."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_lstm_runtime import write_bundle
from edge_lstm_runtime.backends.numpy import NumpyBackend
from edge_lstm_runtime.model.npz import write_npz
from helpers.bundles import make_bundle, make_npu_bundle, members_of
from helpers.commands import edge_lstm, here
from helpers.plug_ins import NOISY, plug_in, replace_backend
from helpers.specs import make_spec
from helpers.weights import random_weights

HAS_RKNN = importlib.util.find_spec("rknnlite") is not None


def test_check_all(classify_file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, err = here(capfd, "check", classify_file)
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()] == [
        ["native", "ok"],
        ["numpy", "ok"],
        ["onnx", "ok"],
    ]
    assert "over 40 steps  (limit: max_abs 1.0e-05)" in out
    assert "rknn" in err
    assert "not here: " in err


@pytest.mark.parametrize("verb", ["check", "bench"])
def test_an_artifact_that_is_not_there_is_no_success(
    verb: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make_npu_bundle(tmp_path / "a.edge")
    code, out, err = here(capfd, verb, tmp_path / "a.edge", "--artifact", "fp16")
    assert (code, out) == (2, "")
    assert "the bundle has no artifact 'fp16'; it holds rk3588-fp16.rknn" in err


def test_check_json(classify_file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = here(capfd, "check", classify_file, "--backend", "numpy", "--json")
    (line,) = out.splitlines()
    found = json.loads(line)
    assert code == 0
    assert found["passed"] is True
    assert found["backend"] == "numpy"
    assert found["max_abs"] <= found["limit"]["max_abs"] == 1e-5


def altered(path: Path) -> Path:
    """A bundle, whole, whose answer 17 of class2 is wrong."""
    spec = make_spec(hidden=16)
    x, y = make_bundle(path, spec).golden
    y = y.copy()
    y[17, 2] += 0.01
    write_bundle(path, spec, random_weights(spec), {"golden.npz": write_npz({"x": x, "y": y})})
    return path


def test_check_an_altered_golden_answer(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = here(capfd, "check", altered(tmp_path / "a.edge"))
    assert code == 1
    assert re.search(
        r"^numpy +BAD  max abs 1\.00e-02 .*; worst at step 17, output 'class2'$", out, re.MULTILINE
    )
    code, out, _ = here(capfd, "check", tmp_path / "a.edge", "--json", "--backend", "numpy")
    assert code == 1
    assert json.loads(out)["passed"] is False
    assert json.loads(out)["worst"] == [17, 2]


def test_check_goes_on_after_a_backend_that_fails(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    spec = make_spec()
    members = {**members_of(spec, random_weights(spec)), "model.onnx": b"not a graph"}
    write_bundle(tmp_path / "a.edge", spec, random_weights(spec), members)
    code, out, _ = here(capfd, "check", tmp_path / "a.edge")
    assert code == 1
    assert re.search(r"^numpy +ok ", out, re.MULTILINE)
    assert re.search(
        r"^onnx +BAD  failed: ONNX Runtime did not take model\.onnx", out, re.MULTILINE
    )
    code, out, _ = here(capfd, "check", tmp_path / "a.edge", "--json")
    assert {e["backend"]: e["passed"] for e in map(json.loads, out.splitlines())} == {
        "native": True,
        "numpy": True,
        "onnx": False,
    }
    code, _, err = here(capfd, "check", tmp_path / "a.edge", "--backend", "onnx")
    assert code == 2
    assert "did not take model.onnx" in err


def strict(text: str) -> Any:
    """JSON as its standard has it, which knows no NaN and no Infinity."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("backend", ["onnx", "all"])
def test_figures_that_are_not_finite_are_null_in_json(
    backend: str,
    classify_file: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Lost(NumpyBackend):
        def step(self, features: Any) -> Any:
            return super().step(features) * np.float32(np.nan)

    replace_backend(monkeypatch, "onnx", open_backend=lambda b, **_: Lost(b.spec, b.weights))
    code, out, _ = here(capfd, "check", classify_file, "--backend", backend, "--json")
    assert code == 1
    (row,) = [row for row in map(strict, out.splitlines()) if row["backend"] == "onnx"]
    assert row == {
        "backend": "onnx",
        "artifact": None,
        "passed": False,
        "steps": 40,
        "max_abs": None,
        "rmse": None,
        "nrmse": None,
        "worst": [0, 0],
        "limit": {"max_abs": 1e-5},
    }


def test_a_noisy_library_does_not_reach_the_verdicts(classify_file: Path, tmp_path: Path) -> None:
    plug_in(tmp_path, "noisy_npu", noisy=NOISY)
    for backend in ("noisy", "all"):
        done = edge_lstm("check", classify_file, "--backend", backend, "--json", folders=[tmp_path])
        assert done.returncode == 0, done.stderr
        found = {row["backend"] for row in map(strict, done.stdout.splitlines())}
        assert found == ({"noisy"} if backend == "noisy" else {"native", "noisy", "numpy", "onnx"})
        for noise in ("raw write", "rknn-toolkit-lite2: print", "printf", "version: 2.3.2"):
            assert noise in done.stderr
    done = edge_lstm("check", classify_file, "--backend", "noisy", folders=[tmp_path])
    (line,) = done.stdout.splitlines()
    assert line.startswith("noisy ")


@pytest.mark.skipif(HAS_RKNN, reason="rknn-toolkit-lite2 is installed here")
def test_check_where_there_is_no_npu(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make_npu_bundle(tmp_path / "a.edge")
    code, out, err = here(capfd, "check", tmp_path / "a.edge", "--backend", "rknn")
    assert (code, out) == (2, "")
    assert err.startswith(
        "edge-lstm: error: backend 'rknn' needs rknn-toolkit-lite2 on an aarch64 Rockchip board"
    )
    code, _, err = here(
        capfd, "check", tmp_path / "a.edge", "--backend", "rknn", "--artifact", "rk3566-fp16.rknn"
    )
    assert code == 2
    assert "no artifact 'rk3566-fp16.rknn'; it holds rk3588-fp16.rknn" in err


# --- with samples of one's own ---


def csv_of(rows: Any, names: tuple[str, ...] = ("ch0", "ch1", "ch2")) -> str:
    lines = [",".join(names), *(",".join(map(repr, row)) for row in np.asarray(rows).tolist())]
    return "\n".join(lines) + "\n"


def test_check_own_samples(
    classify_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Other data than the golden samples, in two recordings."""
    rng = np.random.default_rng(5)
    first = csv_of(rng.normal(size=(60, 3)))
    second = "\n".join(json.dumps(row) for row in rng.normal(size=(30, 3)).tolist())
    file = tmp_path / "own.csv"
    file.write_text(f'{first}{{"reset": true}}\n{second}\n')
    one = ("check", classify_file, "--backend", "numpy", "--json", "--input")
    code, out, _ = here(capfd, *one, file)
    found = json.loads(out)
    assert (code, found["passed"], found["steps"]) == (0, True, 90)
    assert found["max_abs"] > 0, "another computation than the reference's"
    # The golden answers have no part in it: here they are wrong at one step.
    wrong = altered(tmp_path / "wrong.edge")
    file.write_text(first)
    assert here(capfd, "check", wrong, "--backend", "numpy")[0] == 1
    assert here(capfd, "check", wrong, "--backend", "numpy", "--input", file)[0] == 0


def test_own_samples_find_a_wrong_backend(
    classify_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """It is right over the 40 golden samples, and wrong at the 50th step."""
    file = tmp_path / "own.csv"
    file.write_text(csv_of(np.random.default_rng(5).normal(size=(60, 3))))
    run = NumpyBackend.run

    def late(self: NumpyBackend, features: Any) -> Any:
        outputs = run(self, features)
        outputs[49:50] += np.float32(0.01)
        return outputs

    monkeypatch.setattr(NumpyBackend, "run", late)
    assert here(capfd, "check", classify_file, "--backend", "numpy")[0] == 0
    code, out, _ = here(capfd, "check", classify_file, "--backend", "numpy", "--input", file)
    assert code == 1
    assert re.search(r"BAD  max abs 1\.00e-02 .* over 60 steps .*; worst at step 49, output", out)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1,2,3\n1,2\n", "line 2: "),
        ("", "no line has a sample; expected CSV or JSON lines"),
        ("1,2,3\nnan,2,3\n", "line 2: "),
    ],
)
def test_own_samples_that_are_none(
    classify_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    file = tmp_path / "own.csv"
    file.write_text(text)
    code, out, err = here(capfd, "check", classify_file, "--input", file)
    assert (code, out) == (2, "")
    assert says in err
    code, _, err = here(capfd, "check", classify_file, "--input", tmp_path / "none.csv")
    assert (code, "can't read" in err) == (2, True)
