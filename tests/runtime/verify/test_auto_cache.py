"""What "auto" remembers, and when it does not rely on it. Its choice: backends/test_auto.py."""

from __future__ import annotations

import importlib.util
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_lstm_runtime import (
    Backend,
    BackendError,
    BackendUnavailableError,
    Bundle,
    Model,
    choose_backend,
    write_bundle,
)
from edge_lstm_runtime.backends.numpy import NumpyBackend
from edge_lstm_runtime.files import unsealed_json
from edge_lstm_runtime.verify import auto_cache
from helpers.arrays import Array
from helpers.bundles import artifact_entry, make_bundle, members_of
from helpers.commands import edge_lstm
from helpers.counted_backends import SPEC, Backends, broken, fast, slow, wrong
from helpers.flips import silent
from helpers.weights import random_weights

pytestmark = pytest.mark.usefixtures("no_native")
HAS_RKNN = importlib.util.find_spec("rknnlite") is not None
REMEMBERED = "remembered as the fastest here"


def test_all_but_the_fastest_are_closed(bundle: Bundle, backends: Backends) -> None:
    assert choose_backend(bundle).name == "onnx"
    assert (backends.opened, backends.closed) == (["numpy", "onnx"], ["numpy"])


def test_a_remembered_one_is_opened_alone(bundle: Bundle, backends: Backends, cache: Path) -> None:
    first = choose_backend(bundle)
    assert cache.exists()
    backends.forget()
    second = choose_backend(bundle)
    assert (second.name, second.artifact) == (first.name, first.artifact) == ("onnx", None)
    assert (backends.opened, backends.closed) == (["onnx"], [])
    assert REMEMBERED in second.reasons[0].text
    # What became of the others is still said.
    assert [reason.backend for reason in second.reasons] == [
        "onnx",
        "ethosu",
        "rknn",
        "native",
        "native-fp16",
        "native-int8",
        "numpy",
    ]
    assert not any(part.any() for part in second.backend.state.values()), (
        "the golden samples' state is left behind"
    )


@pytest.mark.parametrize("arguments", [(), ("auto",)], ids=["by default", "by name"])
def test_a_session_takes_the_fastest_and_remembers(
    arguments: tuple[str, ...], bundle: Bundle, backends: Backends, cache: Path
) -> None:
    Model(bundle).session(*arguments).close()
    assert backends.opened == ["numpy", "onnx"]
    assert cache.exists()
    backends.forget()
    Model(bundle).session(*arguments).close()
    assert backends.opened == ["onnx"]


@pytest.mark.usefixtures("cache")
def test_speed_is_remembered_and_not_that_it_is_right(
    bundle: Bundle, backends: Backends, caplog: pytest.LogCaptureFixture
) -> None:
    choose_backend(bundle)
    backends.forget()
    backends.put("onnx", wrong)
    with caplog.at_level(logging.INFO, "edge_lstm"):
        choice = choose_backend(bundle)
    assert choice.name == "numpy"
    assert (
        "onnx was the fastest here and is not right any more: WRONG (max_abs 1.0e-01" in caplog.text
    )
    assert backends.closed == ["onnx", "onnx"]
    assert any(str(reason).startswith("onnx: WRONG") for reason in choice.reasons)
    backends.forget()
    choice = choose_backend(bundle)
    assert backends.opened == ["numpy"], "the new choice is remembered"
    assert any(str(reason).startswith("onnx: WRONG") for reason in choice.reasons), (
        "and why it is not the other"
    )


@pytest.mark.usefixtures("cache")
def test_one_that_has_gone(bundle: Bundle, backends: Backends) -> None:
    choose_backend(bundle)

    def gone(_: Bundle) -> Backend:
        raise BackendUnavailableError("it was uninstalled")

    backends.put("onnx", gone)
    choice = choose_backend(bundle)
    assert choice.name == "numpy"
    assert "onnx: not here: it was uninstalled" in map(str, choice.reasons)


def test_nothing_is_remembered_while_a_backend_fails(
    bundle: Bundle, backends: Backends, cache: Path
) -> None:
    """It may be back tomorrow, and should be asked then."""
    backends.put("onnx", broken)
    assert choose_backend(bundle).name == "numpy"
    assert not cache.exists()
    backends.put("onnx", fast)
    assert choose_backend(bundle).name == "onnx"


@pytest.mark.parametrize("cause", [None, ImportError("no rknnlite")])
def test_an_npu_that_is_away_is_asked_again_and_one_that_was_never_there_is_not(
    tmp_path: Path, backends: Backends, cache: Path, cause: Exception | None
) -> None:
    weights = random_weights(SPEC)
    members = {**members_of(SPEC, weights), "a.rknn": b"RKNN"}
    made = write_bundle(
        tmp_path / "n.edge", SPEC, weights, members, artifacts={"a.rknn": artifact_entry()}
    )

    def away(_: Bundle) -> Backend:
        raise BackendUnavailableError("no NPU") from cause

    backends.put("rknn", away)
    assert choose_backend(made).name == "onnx"
    assert cache.exists() == (cause is not None)


def test_asking_anew(bundle: Bundle, backends: Backends, cache: Path) -> None:
    choose_backend(bundle)
    backends.put("onnx", slow)
    backends.put("numpy", fast)
    assert choose_backend(bundle).name == "onnx"
    assert choose_backend(bundle, recall=False).name == "numpy"
    assert choose_backend(bundle).name == "numpy"
    assert len(unsealed_json(cache.read_bytes())) == 1


@pytest.mark.usefixtures("backends")
def test_what_is_asked_is_part_of_the_question(bundle: Bundle, cache: Path) -> None:
    for question in ({}, {"streams": 2}, {"streams": 3}, {"candidates": ("numpy",)}):
        choose_backend(bundle, **question)  # type: ignore[arg-type]
    assert len(unsealed_json(cache.read_bytes())) == 4


@pytest.mark.usefixtures("cache")
def test_another_bundle_is_another_question(
    bundle: Bundle, backends: Backends, tmp_path: Path
) -> None:
    choose_backend(bundle)
    backends.forget()
    choose_backend(make_bundle(tmp_path / "b.edge", SPEC, seed=1, form="fused"))
    assert backends.opened == ["numpy", "onnx"]


@pytest.mark.usefixtures("backends", "cache")
def test_another_machine_is_another_question(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = auto_cache.question(bundle)
    assert auto_cache.question(bundle) == before
    monkeypatch.setenv("EDGE_LSTM_NPU_CORES", "0")
    assert auto_cache.question(bundle) != before
    monkeypatch.undo()
    for change in ("machine", "release", "version"):
        with monkeypatch.context() as patch:
            patch.setattr(auto_cache.platform, change, lambda: "another")
            assert auto_cache.question(bundle) != before, change
    with monkeypatch.context() as patch:
        patch.setattr(np, "__version__", "99.0")
        assert auto_cache.question(bundle) != before
    with monkeypatch.context() as patch:  # a library in place of another
        package = tmp_path / "rknnlite"
        package.mkdir()
        (package / "__init__.py").touch()
        patch.syspath_prepend(tmp_path)
        assert auto_cache.question(bundle) != before
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "onnxruntime", None)
        assert auto_cache.question(bundle) != before


def altered(file: Path, change: Callable[[dict[str, Any]], Any]) -> bytes:
    answers = unsealed_json(file.read_bytes())
    (entry,) = answers.values()
    return json.dumps(dict.fromkeys(answers, change(entry))).encode()


@pytest.mark.parametrize(
    "content",
    [
        lambda _: b"",
        lambda _: b"{",
        lambda _: b"\xff\xfe\x00",
        lambda _: b"[" * 100_000,
        lambda _: b"[]",
        lambda _: b'{"some": "thing else"}',
        lambda file: altered(file, lambda _: None),
        lambda file: altered(file, lambda _: "onnx"),
        lambda file: altered(file, lambda e: {**e, "backend": "reference"}),
        lambda file: altered(file, lambda e: {**e, "backend": ["onnx"]}),
        lambda file: altered(file, lambda e: {**e, "artifact": "../a.rknn"}),
        lambda file: altered(file, lambda e: {**e, "reasons": 3}),
        lambda file: altered(file, lambda e: {**e, "reasons": [3]}),
        lambda file: altered(
            file, lambda e: {**e, "reasons": [{"backend": "onnx", "artifact": 3, "text": "right"}]}
        ),
        lambda file: altered(
            file, lambda e: {**e, "reasons": [{"backend": "onnx", "text": "right"}]}
        ),
        lambda file: altered(file, lambda e: {"backend": e["backend"]}),
    ],
    ids=[
        "empty",
        "half",
        "binary",
        "deep",
        "list",
        "foreign",
        "null",
        "text",
        "backend",
        "list-backend",
        "artifact",
        "no-list",
        "no-text",
        "no-member",
        "half-a-reason",
        "keys",
    ],
)
def test_a_file_that_makes_no_sense_is_none(
    content: Callable[[Path], bytes], bundle: Bundle, backends: Backends, cache: Path
) -> None:
    choose_backend(bundle)
    backends.forget()
    cache.write_bytes(content(cache))
    choice = choose_backend(bundle)
    assert choice.name == "onnx"
    assert backends.opened == ["numpy", "onnx"], "it was chosen anew"
    assert REMEMBERED in choose_backend(bundle).reasons[0].text, "and is remembered again"


@pytest.mark.parametrize(
    "what", ["a file in place of the folder", "a folder in place of the file", "no home"]
)
def test_where_nothing_can_be_written(
    what: str,
    bundle: Bundle,
    backends: Backends,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if what == "no home":
        monkeypatch.delenv("EDGE_LSTM_CACHE")
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setattr(Path, "home", no_home)
    elif what.startswith("a file"):
        cache.parent.write_text("")
    else:
        cache.mkdir(parents=True)
    for _ in range(2):
        with caplog.at_level(logging.INFO, "edge_lstm"):
            assert choose_backend(bundle).name == "onnx"
    assert "is not remembered" in caplog.text
    assert all(record.levelno == logging.INFO for record in caplog.records)
    assert backends.opened == ["numpy", "onnx"] * 2


def no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")


@pytest.mark.usefixtures("backends")
def test_nothing_half_written_stays(bundle: Bundle, cache: Path) -> None:
    choose_backend(bundle)
    assert list(cache.parent.iterdir()) == [cache]


def test_the_oldest_beyond_a_hundred_are_forgotten(cache: Path) -> None:
    answer = auto_cache.Remembered("numpy", None, ())
    for n in range(105):
        auto_cache.remember(str(n), answer)
    auto_cache.remember("6", answer)  # the newest again
    auto_cache.remember("new", answer)
    assert list(unsealed_json(cache.read_bytes())) == [*(str(n) for n in range(7, 105)), "6", "new"]
    assert auto_cache.recall("5") is None
    assert auto_cache.recall("6") == answer


def test_switched_off(
    bundle: Bundle, backends: Backends, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_LSTM_REMEMBER", "0")
    choose_backend(bundle)
    assert not cache.exists()
    monkeypatch.delenv("EDGE_LSTM_REMEMBER")
    choose_backend(bundle)
    monkeypatch.setenv("EDGE_LSTM_REMEMBER", "0")
    backends.forget()
    choose_backend(bundle)
    assert backends.opened == ["numpy", "onnx"]


@pytest.mark.usefixtures("cache", "backends")
def test_the_folder_of_the_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bundle: Bundle
) -> None:
    monkeypatch.delenv("EDGE_LSTM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    choose_backend(bundle)
    assert (tmp_path / "xdg" / "edge-lstm" / "auto.json").exists()


@pytest.mark.skipif(HAS_RKNN, reason="rknn-toolkit-lite2 is installed here")
def test_run_says_why_it_does_without_the_npu_each_time(tmp_path: Path) -> None:
    weights = random_weights(SPEC)
    members = {**members_of(SPEC, weights), "a.rknn": b"RKNN"}
    write_bundle(
        tmp_path / "n.edge", SPEC, weights, members, artifacts={"a.rknn": artifact_entry()}
    )
    said = [
        edge_lstm(
            "run",
            tmp_path / "n.edge",
            "--input",
            "-",
            text="1,2,3\n",
            EDGE_LSTM_CACHE=str(tmp_path / "c"),
            EDGE_LSTM_REMEMBER="",
        )
        for _ in range(2)
    ]
    assert (tmp_path / "c" / "auto.json").exists()
    assert said[0].stderr == said[1].stderr
    assert "rknn (a.rknn): not here" in said[0].stderr
    assert said[0].stdout == said[1].stdout


# --- failing while it is timed ---


def test_one_that_fails_while_it_is_timed(bundle: Bundle, backends: Backends, cache: Path) -> None:
    class Tiring(NumpyBackend):
        steps = 0

        def run(self, features: Array) -> Array:
            return np.stack([NumpyBackend.step(self, row) for row in features])

        def step(self, features: Any) -> Any:
            self.steps += 1
            if self.steps > 5:
                raise BackendError("too hot")
            return super().step(features)

    backends.put("onnx", lambda b: Tiring(b.spec, b.weights))
    choice = choose_backend(bundle)
    assert choice.name == "numpy"
    assert "onnx: failed: too hot" in map(str, choice.reasons)
    assert backends.closed == ["onnx"]
    assert not cache.exists()


def test_a_flipped_bit_is_never_another_answer(cache: Path) -> None:
    """EDGE_LSTM_FLIPS=2000 draws more of them."""
    reasons = (auto_cache.Reason("native", None, "12.0 us a step"),)
    answers = {
        f"{n:064x}": auto_cache.Remembered(f"backend{n}", "a.rknn" if n else None, reasons)
        for n in range(5)
    }
    for key, answer in answers.items():
        auto_cache.remember(key, answer)
    read = {key: auto_cache.recall(key) for key in answers}
    assert read == answers
    unread = dict.fromkeys(answers)
    assert not silent(
        cache,
        lambda: {key: auto_cache.recall(key) for key in answers},
        lambda found: found in (answers, unread),
    )
