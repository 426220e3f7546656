"""Integer operators against TOSA's reference model: recorded answers, and new ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_lstm_runtime import BackendError, BundleError
from edge_lstm_runtime.backends.tosa.operators import OPERATORS
from edge_lstm_runtime.backends.tosa.program import Program
from helpers import tosa_answers
from helpers.tosa_graphs import MAKERS, Case

CASES = tosa_answers.recorded()


def op_of(case: Case) -> str:
    """What the program is about: its first operator, or "chain" for a long one."""
    operators = case["program"]["operators"]
    return operators[0]["op"] if len(operators) <= 2 else "chain"


def streams_of(case: Case, chosen: list[int]) -> list[Any]:
    """(N, *shape) for each input."""
    streams = [case["inputs"][n] for n in chosen]
    return [np.array(parts, np.int64) for parts in zip(*streams, strict=True)]


def differs(case: Case) -> str:
    """How our answers differ from the recorded ones. "" if they don't, in values and refusals."""
    good = [n for n, a in enumerate(case["answers"]) if a["status"] == "TOSA_VALID"]
    for n in set(range(len(case["inputs"]))) - set(good):
        try:
            Program(case["program"], tosa_answers.constants(case)).run(streams_of(case, [n]))
        except (BackendError, BundleError):
            continue
        return f"stream {n} is answered, and the model says {case['answers'][n]['status']}"
    if not good:
        return ""
    program = Program(case["program"], tosa_answers.constants(case))
    for chosen in (good, *([n] for n in good)):  # together, and one by one
        found = program.run(streams_of(case, chosen))
        for at, array in enumerate(found):
            expected = np.array([case["answers"][n]["outputs"][at] for n in chosen])
            if array.shape != expected.shape or (array != expected).any():
                return f"{case['program']['operators']}: {array.tolist()}, not {expected.tolist()}"
    return ""


@pytest.mark.parametrize("op", [*MAKERS, "chain"])
def test_answers_equal_the_recorded_ones(op: str) -> None:
    cases = [case for case in CASES if op_of(case) == op]
    answered = sum(a["status"] == "TOSA_VALID" for case in cases for a in case["answers"])
    assert answered >= 2, op
    assert [text for text in map(differs, cases) if text] == []


def test_every_operator_has_recorded_answers() -> None:
    used = {entry["op"] for case in CASES for entry in case["program"]["operators"]}
    assert used == set(OPERATORS)


def test_the_model_refuses_some_of_the_recorded_inputs() -> None:
    statuses = [a["status"] for case in CASES for a in case["answers"]]
    assert 10 <= sum(status != "TOSA_VALID" for status in statuses) < len(statuses) / 3


@pytest.mark.slow
@pytest.mark.skipif(
    not tosa_answers.reference_python(),
    reason="no reference model: set EDGE_LSTM_TOSA_PYTHON to a Python with tosa-tools",
)
def test_answers_equal_the_reference_models() -> None:
    first = int(np.random.default_rng().integers(10**9))
    seeds = range(first, first + 10)
    cases = tosa_answers.answered(tosa_answers.random_cases(seeds), tosa_answers.reference_python())
    assert [(first, text) for text in map(differs, cases) if text] == []
