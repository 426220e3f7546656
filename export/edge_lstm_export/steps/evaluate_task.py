"""Step 10: the metric that the user cares about, on the whole test split, streamed through each backend.

Once from the zero state at each recording, and once as a board streams that nobody resets: one stream through all recordings. A
bidirectional model answers each recording as a whole, and that is all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from edge_lstm import Run, Sequence, evaluate
from edge_lstm.data.recordings import shuffled
from edge_lstm.results.alarms import measure
from edge_lstm_runtime import Backend, Session
from edge_lstm_runtime.backends.numpy import numpy_backend
from edge_lstm_runtime.model.measured import Measured

from ..measure import keys
from ..npu.rknn.sim import simulated
from ..work import Work
from .quantize_native import native_backend


def call(work: Work) -> Work:
    backends: dict[Measured, Backend] = {keys.NUMPY: numpy_backend(work.spec, work.weights)}
    if work.native_int8:
        backends[keys.NATIVE_INT8] = native_backend(work, work.native_int8)
    backends.update({keys.simulated(member): simulated(a.converter, work.weights) for member, a in work.artifacts.items()})
    metrics, answers = test_metrics(work.run, backends)
    notes = (*work.notes, *filter(None, (_answered_by_numpy(work, member) for member in work.artifacts)))
    return dataclasses.replace(work, metrics=metrics, answers=answers[keys.NUMPY], notes=notes)


def _answered_by_numpy(work: Work, member: str) -> str | None:
    """A note where a model that takes several steps at once answers so little of the recordings that its metric is NumPy's above all."""
    steps, lengths = work.artifacts[member].form.steps, [len(s.x) for s in work.run.splits.test]
    whole = work.spec.bidirectional
    left, total = sum(length * (length != steps) if whole else length % steps for length in lengths), sum(lengths)
    if 2 * left <= total:
        return None
    which = f"are in recordings of other than {steps} steps" if whole else f"fill no chunk of {steps} in their recording"
    advice = "test with recordings of that length" if whole else "choose a smaller chunk"
    share = f"{member}: {100 * left / total:.0f} % of the steps of the test split {which}"
    return f"{share} and were computed by NumPy, so its metric says little; {advice}"


def test_metrics(
    run: Run, backends: Mapping[Measured, Backend]
) -> tuple[dict[Measured, dict[str, Any]], dict[Measured, list[NDArray[Any]]]]:
    """The metrics of each backend, and of each with its state never reset; the answers (T, O) to each test sequence of each backend."""
    spec, test, season = run.spec, run.splits.test, run.config.data.season
    answers = {name: _answers(Session(spec, backend), test, carried=False) for name, backend in backends.items()}
    metrics = {name: evaluate(spec, test, found, season=season) for name, found in answers.items()}
    if spec.anomaly_scale:
        for name, found in answers.items():
            metrics[name]["anomaly"] = measure(spec, test, found)
    if len(test) > 1 and not spec.bidirectional:
        for name, backend in backends.items():
            found = _answers(Session(spec, backend), shuffled(test), carried=True)
            metrics[name.never_reset()] = evaluate(spec, shuffled(test), found, season=season)
    return metrics, answers


def _answers(session: Session, recordings: list[Sequence], *, carried: bool) -> list[NDArray[Any]]:
    session.reset()
    answers = []
    for recording in recordings:
        if not carried:
            session.reset()
        answers.append(session.run(recording.x))
    return answers
