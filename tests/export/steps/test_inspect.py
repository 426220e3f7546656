"""The verdict on a converted model's error over a long stream."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge_lstm_export.steps import inspect
from edge_lstm_export.work import Artifact, Work
from edge_lstm_runtime import Reference
from helpers.arrays import Array
from helpers.simulated import simulated
from helpers.specs import plain_spec
from helpers.weights import random_weights


class Drifting:
    """In place of the simulator: the reference, off by `errors`.

    errors: in standard deviations, one for each thousand steps.
    """

    def __init__(self, reference: Reference, errors: list[float]):
        self._reference = reference
        self._errors = errors

    def backend(self, _weights: object) -> Any:
        return self

    def reset(self) -> None:
        self._reference.reset()

    def run(self, rows: Array) -> Array:
        found = self._reference.run(rows)
        return (
            found + np.repeat(self._errors, len(rows) // len(self._errors))[:, None] * found.std()
        )


def inspected(errors: list[float]) -> Any:
    spec = plain_spec(1, 4)
    weights = random_weights(spec)
    form: Any = SimpleNamespace(steps=2)  # of several steps at once the outputs are all there is
    converter: Any = Drifting(Reference(spec, weights), errors)
    artifact = Artifact("rk3588", "w8a8", form, converter, np.empty((0, 3)), simulated("a"))
    run: Any = SimpleNamespace(spec=spec, weights=weights)
    stream = np.random.default_rng(0).normal(size=(1000, 3))
    said: list[str] = []
    work = Work(
        run,
        {"rk3588": ("w8a8",)},
        Path("x.edge"),
        said.append,
        ExitStack(),
        stream=stream,
        lengths=np.array([1000]),
        artifacts={"a": artifact},
    )
    found = inspect.call(work).inspections["a"]
    assert said == [f"  a: {found.verdict}"]
    return found


@pytest.mark.parametrize(
    ("last", "words"),
    [
        (0.9, "NRMSE 5.0e-03 the first time and 4.5e-03 the last: no growth"),
        (1.4, "NRMSE 5.0e-03 the first time and 7.0e-03 the last: the error grows a little"),
        (1.6, "NRMSE 5.0e-03 the first time and 8.0e-03 the last: the error GROWS"),
    ],
)
def test_an_error_that_grows_by_half_is_told(last: float, words: str) -> None:
    found = inspected([5e-3] * 9 + [5e-3 * last])
    assert found.drift == pytest.approx([5e-3] * 9 + [5e-3 * last])
    assert found.window == 1000
    over = "over the same 1,000 golden samples 10 times, never reset"
    assert found.verdict == f"{over}, {words}"
