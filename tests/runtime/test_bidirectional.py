"""Bidirectional models: whole sequences, each from the zero state.

They run in every backend, the session, the bundle and the stream of lines.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from edge_lstm_export.graphs.bundle import build
from edge_lstm_export.layers.lstm import OPERATOR
from edge_lstm_runtime import (
    Backend,
    BackendError,
    BundleError,
    ModelSpec,
    SampleError,
    Session,
    load,
)
from edge_lstm_runtime.backends.numpy import numpy_backend
from edge_lstm_runtime.backends.onnx import onnx_backend
from edge_lstm_runtime.backends.reference import reference
from edge_lstm_runtime.cli import main
from edge_lstm_runtime.feeds.lines import answers
from edge_lstm_runtime.layers.both_ways import BothWays
from edge_lstm_runtime.model.network import network_from
from edge_lstm_runtime.model.spec import describe
from edge_lstm_runtime.verify.auto import choose_backend
from edge_lstm_runtime.verify.bench import latencies
from edge_lstm_runtime.verify.check import check_backend
from helpers.arrays import Weights
from helpers.both_ways import LENGTHS, SPEC, write
from helpers.commands import edge_lstm
from helpers.specs import make_spec, samples
from helpers.tolerances import assert_close
from helpers.weights import from_torch, random_weights


def open_any(name: str, spec: ModelSpec, weights: Weights) -> Backend:
    if name == "onnx":
        return onnx_backend(spec, build(spec, weights, "fused").SerializeToString())
    return {"reference": reference, "numpy": numpy_backend}[name](spec, weights)


@pytest.mark.parametrize("times", [2, 3, 4, 5, 2000])
def test_both_ways_of_both_ways_is_refused(times: int) -> None:
    """Its reversed weights would have the names of others."""
    whole = "both-ways of 'both-ways', which reads whole sequences itself: expected a layer that"
    deep = "layers are inside each other, more than 4 deep"
    values: dict[str, Any] = {"type": "lstm", "units": 4}
    for _ in range(times):
        values = {"type": "both-ways", "layer": values}
    with pytest.raises(BundleError, match=f"^network: layer 'a': ({whole}|{deep})"):
        network_from(3, [{**values, "name": "a", "inputs": ["x"]}])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write(tmp_path / "both.edge", SPEC)
    return tmp_path / "both.edge"


def test_a_refused_sequence_leaves_the_last_values_as_they_were() -> None:
    spec = make_spec(bidirectional=True, missing="ffill")
    session = Session(spec, open_any("numpy", spec, random_weights(spec)))
    session.run([[7.0, 8.0, 9.0]])
    assert session.state["last"].tolist() == [7.0, 8.0, 9.0]
    with pytest.raises(SampleError, match="row 1: channel 'ch0' is inf"):
        session.run([[1.0, 2.0, 3.0], [np.inf, 0.0, 0.0]])
    assert session.state["last"].tolist() == [7.0, 8.0, 9.0]


# --- the numbers ---


@pytest.mark.parametrize("layers", [1, 2, 4])
@pytest.mark.parametrize("hidden", [1, 7, 32])
def test_reference_is_torch_lstm(hidden: int, layers: int) -> None:
    spec = make_spec(hidden=hidden, layers=layers, bidirectional=True)
    generator = torch.Generator().manual_seed(hidden + layers)
    lstm = torch.nn.LSTM(spec.input_size, hidden, layers, dtype=torch.float64, bidirectional=True)
    head = torch.nn.Linear(2 * hidden, spec.output_size, dtype=torch.float64)
    with torch.no_grad():
        # numbers that float32 holds exactly, as their sums
        for parameter in (
            *lstm.parameters(),
            *head.parameters(),
        ):
            parameter.copy_(
                (
                    (torch.rand(parameter.shape, generator=generator, dtype=torch.float64) - 0.5)
                    * 2048
                ).round()
                / 4096
            )
        xs = np.random.default_rng(layers).standard_normal((90, spec.input_size))
        expected = head(lstm(torch.from_numpy(xs)[:, None])[0][:, 0]).numpy()
    weights = from_torch(lstm, head)
    spec.network.check_weights(weights)
    assert_close(reference(spec, weights).run(xs), expected, "float64", "outputs")


@pytest.mark.parametrize("name", ["numpy", "onnx"])
@pytest.mark.parametrize(("hidden", "layers"), [(1, 1), (7, 3), (64, 2), (32, 4)])
def test_backend_is_the_reference_at_any_length(name: str, hidden: int, layers: int) -> None:
    spec = make_spec(channels=5, hidden=hidden, layers=layers, outputs=3, bidirectional=True)
    weights = random_weights(spec, seed=hidden)
    judge = reference(spec, weights)
    backend = open_any(name, spec, weights)
    assert backend.dtype is np.float32
    for length in (1, 300, 2, 31):  # one after the other: nothing must stay behind
        rows = np.random.default_rng(length).standard_normal((length, 5)).astype(np.float32)
        outputs = backend.run(rows)
        assert outputs.dtype == np.float32
        assert_close(outputs, judge.run(rows), "float32", f"{name}, {length} steps")


def test_both_ends_matter() -> None:
    spec = make_spec(hidden=8, bidirectional=True)
    backend = numpy_backend(spec, random_weights(spec))
    rows = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    other = rows.copy()
    other[-1] += 1
    assert np.abs(backend.run(other)[:5] - backend.run(rows)[:5]).max() > 1e-6, (
        "the last sample changes the first answers"
    )
    assert not np.array_equal(backend.run(rows[:10]), backend.run(rows)[:10])


def test_the_onnx_operands_hold_one_direction_after_the_other() -> None:
    weights = random_weights(SPEC)
    graph = build(SPEC, weights, "fused").graph
    constants = {c.name: onnx.numpy_helper.to_array(c) for c in graph.initializer}
    operators = [node for node in graph.node if node.op_type == "LSTM"]
    for k, (inputs, node) in enumerate(zip((3, 12), operators, strict=True)):
        operands = [constants[name] for name in node.input[1:4]]
        assert [a.shape for a in operands] == [(2, 24, inputs), (2, 24, 6), (2, 48)]
        for n, prefix in enumerate((f"lstm{k}", f"lstm{k}.reverse")):
            one = {name: weights[f"{prefix}.{name}"] for name in ("W_x", "W_h", "b")}
            layer = SPEC.network.layers[k]
            assert isinstance(layer, BothWays)
            for whole, part in zip(operands, OPERATOR.arrays(layer.layer, one), strict=True):
                np.testing.assert_array_equal(whole[n], part)


def test_sizes_and_counts() -> None:
    assert SPEC.whole
    parameters = 2 * 24 * (3 + 6 + 1) + 2 * 24 * (12 + 6 + 1) + 12 * 4 + 4
    assert (
        SPEC.network.parameters == parameters == sum(a.size for a in random_weights(SPEC).values())
    )
    assert SPEC.network.macs_per_step == 2 * 24 * 9 + 2 * 24 * 18 + 48 + 3 * 6 * 2 * 2


# --- no state, no steps ---


@pytest.mark.parametrize("name", ["reference", "numpy", "onnx"])
def test_nothing_is_carried_and_a_step_is_refused(name: str, file: Path) -> None:
    with load(file).session(name) as session:
        xs = samples(SPEC, 12)
        first = session.run(xs)
        assert session.backend.state == {}
        assert list(session.state) == ["last"]
        np.testing.assert_array_equal(session.run(xs), first)
        saved = session.state
        session.state = saved
        session.reset()
        np.testing.assert_array_equal(session.run(xs), first)
        for sample in (xs[0], xs, "x"):
            with pytest.raises(
                BackendError,
                match=r"bidirectional: it reads a whole sequence from both ends.*use run",
            ):
                session.step(sample)
        with pytest.raises(
            BackendError,
            match=r"state has keys \['last', 'lstm0.h'\], expected the keys \['last'\]",
        ):
            session.state = {"lstm0.h": np.zeros(6), "last": np.zeros(3)}
        assert session.run([]).shape == (0, 4)


def test_a_session_fills_gaps_from_the_sequence_alone(file: Path) -> None:
    session = load(file).session("numpy")
    xs = samples(SPEC, 10)
    xs[0, 1] = xs[4] = np.nan
    expected = reference(SPEC, random_weights(SPEC)).run(SPEC.features(xs))
    assert_close(session.run(xs), expected, "float32", "answers")
    assert_close(session.run(xs), expected, "float32", "answers, the same sequence again")
    bad = samples(SPEC, 5)
    bad[3, 0] = np.inf
    with pytest.raises(SampleError, match="row 3: channel 'ch0' is inf"):
        session.run(bad)
    assert_close(session.run(xs), expected, "float32", "answers after a bad sequence")


# --- the bundle ---


def test_golden_sequences_come_back(file: Path) -> None:
    bundle = load(file).bundle
    np.testing.assert_array_equal(bundle.lengths, LENGTHS)
    assert bundle.golden[0].shape == (40, 3)
    for name in ("numpy", "onnx", "reference"):
        result = check_backend(bundle, name)
        assert result.passed, result
        assert result.comparison.steps == 40
        assert check_backend(bundle, name, steps=5).comparison.steps == 17, (
            "a sequence is never cut"
        )
        assert check_backend(bundle, name, steps=18).comparison.steps == 18
    assert choose_backend(bundle).backend.name in ("onnx", "numpy")
    times = latencies(bundle, "numpy", None, 100)
    assert len(times) == 5
    assert (times > 0).all()


def test_a_streaming_bundle_has_one_sequence(classify_file: Path) -> None:
    np.testing.assert_array_equal(load(classify_file).bundle.lengths, [40])


@pytest.mark.parametrize(
    ("lengths", "words"),
    [
        (None, "has no array 'lengths'"),
        ([17, 1, 21], r"\[17, 1, 21\], expected int64 of at least 1 each, 40 in all"),
        ([17, 1, 23], "lengths"),
        ([18, 0, 22], "lengths"),
        ([41, -1], "lengths"),
        ([2**62, 2**62, 2**62, 2**62, 40], "lengths"),  # whose sum is 40 in 64 bits
        ([], r"float64\(0,\)"),
        ([17.0, 1.0, 22.0], r"float64\(3,\)"),
        (np.array([17, 1, 22], np.int32), r"int32\(3,\)"),
        ([[17, 1, 22]], r"int64\(1, 3\)"),
        (np.array([], np.int64), r"the lengths \[\]"),
    ],
)
def test_malformed_lengths_are_refused(lengths: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=words):
        write(tmp_path / "b.edge", SPEC, lengths=lengths)
    assert not (tmp_path / "b.edge").exists()


def test_lengths_without_a_bidirectional_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        BundleError,
        match="has an array 'lengths', which models that need whole sequences alone have",
    ):
        write(tmp_path / "b.edge", make_spec(hidden=6))


def test_a_wrong_graph_is_refused() -> None:
    one = make_spec(hidden=6)
    streamed = build(one, random_weights(one), "fused").SerializeToString()
    with pytest.raises(BackendError, match=r"expected [13] of each, as docs/bundle\.md lists them"):
        onnx_backend(SPEC, streamed)
    with pytest.raises(BackendError, match=r"expected [13] of each, as docs/bundle\.md lists them"):
        onnx_backend(one, build(SPEC, random_weights(SPEC), "fused").SerializeToString())


# --- lines ---


def expected_lines(rows: list[list[float]], numbers: list[int]) -> list[dict[str, Any]]:
    outputs = Session(SPEC, numpy_backend(SPEC, random_weights(SPEC))).run(rows)
    return [{"line": n, **describe(SPEC, y)} for n, y in zip(numbers, outputs, strict=True)]


def test_lines_are_answered_at_a_reset_and_at_the_end(file: Path) -> None:
    rows = samples(SPEC, 7).round(3).tolist()
    text = [",".join(map(str, row)) for row in rows]
    lines = ["ch0,ch1,ch2", *text[:3], "1,x,3", '{"reset": true}', "[1, 2]", *text[3:], "", "1,2"]
    session = load(file).session("numpy")
    reached: list[int] = []

    def read() -> Any:
        for number, line in enumerate(lines, start=1):
            reached.append(number)
            yield line

    found = []
    for answer in answers(session, read()):
        if answer["line"] < 6:
            assert reached[-1] == 6, "all answers of a sequence come at its end"
        found.append(answer)
    assert [a["line"] for a in found] == [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13]
    assert [a["line"] for a in found if "error" in a] == [5, 7, 13]
    assert found[4] == {"line": 6, "reset": True}
    assert found[:3] == expected_lines(rows[:3], [2, 3, 4])
    assert found[6:10] == expected_lines(rows[3:], [8, 9, 10, 11])


def test_sequences_of_n_lines(file: Path) -> None:
    rows = samples(SPEC, 7).round(3).tolist()
    lines = [json.dumps(row) for row in rows]
    lines.insert(3, "[1, 2, 1e300]")  # after the third sample: an error, and no sample
    found = list(answers(load(file).session("numpy"), lines, 3))
    assert [a["line"] for a in found] == list(range(1, 9))
    assert "standard deviations" in found[3]["error"]
    assert found[:3] == expected_lines(rows[:3], [1, 2, 3])
    assert found[4:7] == expected_lines(rows[3:6], [5, 6, 7])
    assert found[7:] == expected_lines(rows[6:], [8])


def test_the_command(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = samples(SPEC, 4).round(3).tolist()
    done = edge_lstm(
        "run",
        file,
        "--backend",
        "numpy",
        "--input",
        "-",
        text="\n".join(json.dumps(row) for row in rows),
    )
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()] == expected_lines(
        rows, [1, 2, 3, 4]
    )
    assert edge_lstm("run", file, "--input", "-", text="").stdout == ""
    assert main(["check", str(file)]) == 0
    assert "over 40 steps" in capsys.readouterr().out
    assert main(["bench", str(file), "--steps", "60"]) == 0
    assert "numpy" in capsys.readouterr().out
    assert main(["info", str(file)]) == 0
    assert (
        "model     lstm 6 both ways -> lstm 6 both ways -> dense 4, whole sequences only, "
        in capsys.readouterr().out
    )
