"""Lines that are answered together get the answers of lines that are answered one by one."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import edge_lstm_runtime as rt
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.backends.numpy import numpy_backend
from edge_lstm_runtime.errors import BackendError, SampleError
from edge_lstm_runtime.feeds.blocks import Blocks
from edge_lstm_runtime.feeds.lines import answers
from edge_lstm_runtime.feeds.stream import Line, blocks
from edge_lstm_runtime.inputs.text import TextForm
from edge_lstm_runtime.tasks import json_of
from edge_lstm_runtime.tasks.classify import Classify
from helpers.bundles import make_bundle
from helpers.generated import PROPERTY
from helpers.specs import changed, make_spec
from helpers.streamed import MODELS
from helpers.weights import random_weights

SEMICOLONS = TextForm(
    separator=";", decimal=",", comment="#", missing=("9999", "dead"), columns=("x", "b", "a", "y")
)
ALL = {
    **MODELS,
    "semicolons": changed(make_spec(channels=["a", "b"], missing="ffill"), text=SEMICOLONS),
}
ODD = [
    *("", "  ", "E-3", "MPU ready", '"', "1_0,1,1", "nan,1,1", "inf,1,1", "1,1e31,1", "1,2,3,4"),
    *("[1, 2, 3]", "[1]", '{"reset": true}', '{"ch0": 1, "ch1": 2, "ch2": 3}', "0", "0,1", "1,0"),
    *("ch0,ch1,ch2", "ch2,note,ch1,ch0", "a,b", "#1;2", "1;dead;3;4", "1;9999;3;4", "1.5;1;1;1"),
    *('"1","2","3"', " 1 ,\t2 , 3 ", "\ufeff1,2,3", "1,2,\u0663", "1,2,3\x00", "9,8,7,", "2", "3"),
]


def session(spec: rt.ModelSpec, backend: str) -> rt.Session:
    weights = random_weights(spec)
    kind: Any = NativeBackend if backend == "native" and not spec.whole else numpy_backend
    return rt.Session(spec, kind(spec, weights))


def one_by_one(made: rt.Session, data: bytes, encoding: str, *options: int) -> str:
    """The text of the answers to the lines as Python finds them."""
    reset_every, every = options
    text = io.TextIOWrapper(io.BytesIO(data), encoding, "replace")
    found = answers(made, text, reset_every, every=every)
    return "".join(json.dumps(answer, allow_nan=False) + "\n" for answer in found)


def together(made: rt.Session, chunks: Sequence[bytes], *options: int) -> str:
    reset_every, every = options
    feed = Blocks(made, reset_every, every=every)
    return "".join(feed.texts(blocks(chunks, made.spec.inputs.text)))


@st.composite
def plain(draw: st.DrawFn, spec: rt.ModelSpec) -> list[str]:
    """Some samples in a row."""
    form = spec.inputs.text
    width = len(form.columns) or spec.input_size
    values = st.floats(-3, 3) if spec.answer.task != "language" else st.integers(0, 4)
    count = draw(st.sampled_from([1, 7, 8, 9, 20]))
    rows = draw(
        st.lists(st.lists(values, min_size=width, max_size=width), min_size=count, max_size=count)
    )
    return [
        form.separator.join(str(value).replace(".", form.decimal) for value in row) for row in rows
    ]


@pytest.mark.parametrize("backend", ["numpy", "native"])
@pytest.mark.parametrize("name", ALL)
@PROPERTY
@given(data=st.data())
def test_the_same_bytes_however_the_lines_arrive(
    name: str, backend: str, data: st.DataObject
) -> None:
    spec = ALL[name]
    parts = data.draw(st.lists(st.one_of(plain(spec), st.sampled_from(ODD)), max_size=8), "parts")
    lines = [line for part in parts for line in ([part] if isinstance(part, str) else part)]
    ends = data.draw(st.sampled_from([["\n"], ["\r\n"], ["\n", "\r\n", "\r"]]), "ends")
    encoding = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]), "encoding")
    text = "".join(line + ends[k % len(ends)] for k, line in enumerate(lines))
    raw = text.encode(encoding)
    places = data.draw(st.lists(st.integers(0, max(len(raw), 1)), max_size=5), "places")
    edges = [0, *sorted(places), len(raw)]
    chunks = [raw[a:b] for a, b in itertools.pairwise(edges) if a < b]
    options = data.draw(st.sampled_from([(0, 1), (0, 1), (0, 3), (10, 1), (10, 4)]), "options")
    expected = said(lambda: one_by_one(session(spec, backend), raw, encoding, *options))
    assert said(lambda: together(session(spec, backend), chunks, *options)) == expected


def said(call: Callable[[], str]) -> str:
    """The answers, or the error if a header lacks channels."""
    try:
        return call()
    except rt.ConfigError as e:
        return str(e)


def long_stream(columns: int, count: int = 700) -> bytes:
    rows = np.random.default_rng(3).normal(size=(count, columns)).round(3).tolist()
    lines = [",".join(map(repr, row)) for row in rows]
    for k, line in (
        (100, "ready"),
        (101, "0.5,nan,1"),
        (300, '{"reset": true}'),
        (301, "1e40,1,1"),
    ):
        lines.insert(k, line)
    return ("ch0,ch1,ch2\n" + "\n".join(lines) + "\n").encode()


@pytest.mark.parametrize(
    "backend", ["numpy", "native", "native-fp16", "native-int8", "onnx", "reference"]
)
@pytest.mark.parametrize("size", [1, 1000, 1 << 16])
def test_on_every_backend(classify_file: Any, backend: str, size: int) -> None:
    data = long_stream(3)
    model = rt.load(classify_file)
    chunks = [data[k : k + size] for k in range(0, len(data), size)]
    for every in (1, 50):
        found = together(model.session(backend), chunks, 0, every)
        assert found == one_by_one(model.session(backend), data, "utf-8", 0, every)
    assert found.count('"label"') == 700 // 50 + 1  # and the last one before the reset


def test_only_odd_lines_are_answered_one_by_one(
    classify_file: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []
    line = Blocks.line

    def counted(self: Blocks, text: Line) -> Iterator[dict[str, Any]]:
        taken.append(text)
        return line(self, text)

    monkeypatch.setattr(Blocks, "line", counted)
    together(rt.load(classify_file).session("native"), [long_stream(3)], 0, 1)
    assert taken == ["ch0,ch1,ch2", "ready", "0.5,nan,1", '{"reset": true}', "1e40,1,1"]


def test_the_answers_before_an_error_are_given() -> None:
    class Failing(NativeBackend):
        """Answers that are not finite, after 200 rows that it answered together."""

        def rows_answerer(self, spec: Any, last: Any) -> Any:
            answers: Any = super().rows_answerer(spec, last)
            count = itertools.count()

            def failing(xs: Any) -> Any:
                outputs = answers(xs)
                outputs[[next(count) >= 200 for _ in xs]] = np.nan
                return outputs

            return failing

    spec = make_spec()
    feed = Blocks(rt.Session(spec, Failing(spec, random_weights(spec))))
    told: list[str] = []
    texts = feed.texts(blocks([b"1,2,3\n" * 300], TextForm()))
    with pytest.raises(BackendError, match="answered line 202 with values that are not finite"):
        told.extend(texts)
    assert [json.loads(line)["line"] for line in "".join(told).splitlines()] == list(range(1, 202))


def test_a_header_that_ends_the_run_comes_after_the_answers() -> None:
    spec = make_spec()
    feed = Blocks(session(spec, "native"))
    chunks = [b"E-3\nch0,ch1\n"]
    texts = feed.texts(blocks(chunks, TextForm()))
    assert json.loads(next(texts))["line"] == 1
    with pytest.raises(rt.ConfigError, match="lacks the channels"):
        next(texts)


@pytest.mark.parametrize("count", [2, 3, 7, 8, 9, 40])
def test_texts_are_descriptions(count: int) -> None:
    names = ('"', "a%sb", "\u00e9", *(f"c{k}" for k in range(count - 2)))[:count]
    answer = Classify(names)
    logits = np.random.default_rng(count).normal(size=(2000, count)).astype(np.float32) * 8
    logits[0] = 0
    logits[1, 0] = 200
    expected = [json.dumps(answer.describe(row)) for row in logits]
    assert ["{" + text + "}" for text in answer.texts(logits)] == expected


def test_a_task_may_describe_in_its_own_way() -> None:
    class Own(Classify):
        def describe(self, answer: Any) -> dict[str, Any]:
            return {"best": int(answer.argmax())}

    assert Own(("a", "b")).texts(np.array([[0.0, 1.0], [1.0, 0.0]])) == ['"best": 1', '"best": 0']


def test_probabilities_are_those_of_exact_arithmetic() -> None:
    found = Classify(("a", "b")).describe(np.array([0, 1], np.float32))["probabilities"]
    assert found == {"a": 0.268941, "b": 0.731059}  # 1 / (1 + e) and e / (1 + e)


@pytest.mark.parametrize("backend", ["numpy", "native"])
def test_steps_end_before_a_sample_that_is_refused(backend: str) -> None:
    spec = make_spec()
    rows = np.random.default_rng(0).normal(size=(20, 3))
    rows[12, 1] = np.nan
    made, other = session(spec, backend), session(spec, backend)
    found = made.steps(rows)
    assert found.shape == (12, 4)
    np.testing.assert_array_equal(found, [other.step(row) for row in rows[:12]])
    assert made.steps(rows[12:]).shape == (0, 4)
    with pytest.raises(SampleError):
        made.step(rows[12])
    np.testing.assert_array_equal(made.steps(rows[13:]), [other.step(row) for row in rows[13:]])


@pytest.mark.parametrize("backend", ["numpy", "native"])
def test_steps_of_other_arrays(backend: str) -> None:
    """The kernel reads memory: another shape, type or order must not be taken as it is."""
    spec = make_spec()
    rows = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    for array in (rows, rows.astype(np.float64).T.copy().T, rows.astype(np.float64)[::-1]):
        made, other = session(spec, backend), session(spec, backend)
        np.testing.assert_array_equal(made.steps(array), [other.step(row) for row in array])
    for shape in ((4, 2), (4, 0), (4, 4), (3,), (2, 3, 3)):
        assert session(spec, backend).steps(np.zeros(shape)).shape == (0, 4)


@pytest.mark.parametrize("backend", ["numpy", "native", "reference"])
def test_steps_of_several_streams(backend: str, tmp_path: Path) -> None:
    path = tmp_path / "a.edge"
    make_bundle(path)
    rows = np.random.default_rng(0).normal(size=(20, 2, 3))
    rows[12, 1, 1] = np.nan
    made, other = (rt.load(path).session(backend, streams=2) for _ in range(2))
    found = made.steps(rows)
    np.testing.assert_array_equal(found, [other.step(row) for row in rows[:12]])
    assert made.steps(rows[12:]).shape == (0, 2, 4)


def test_json_of_is_that_of_json() -> None:
    value = {"line": 1, "error": '\u2603 "%"', "score": None, "forecast": {"a": [1.0, 1e-7]}}
    assert json_of(value) == json.dumps(value)
