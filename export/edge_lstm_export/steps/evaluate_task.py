"""Step 10: the whole test split, streamed through each backend: the metric that the user cares about, and the verdict on fewer bits.

Once from the zero state at each recording, and once as a board streams that nobody resets: one stream through all recordings. A
bidirectional model answers each recording as a whole, and that is all.

A model in fewer bits is judged by these streams: which of its answers are how far from the reference's. Its tolerance for `check` allows
what was measured here as well. One that is certainly wrong here is left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from edge_lstm import Run, evaluate
from edge_lstm.anomaly import measure as measure_alarms
from edge_lstm_runtime import Backend
from edge_lstm_runtime.backends.numpy import numpy_backend
from edge_lstm_runtime.processing import Postprocessor, as_samples, preprocessor
from edge_lstm_runtime.reference import reference

from .. import tolerances
from ..judgement import NEVER_RESET, RESET, Outputs, judge, measure, why_wrong
from ..rknn.sim import simulated
from ..work import SIMULATOR, Work
from .draw_stream import shuffled
from .quantise_native import NAME, WHERE, native_backend
from .simulate import WHERE as SIMULATED
from .simulate import instead

CARRIED = f"state {NEVER_RESET}"


@dataclasses.dataclass(frozen=True)
class Streamed:
    """One pass through the test split, a recording after the other. order: the number of each in the split; outputs: (T, O) of the network;
    answers: (T, O), logits or raw units."""

    order: Sequence[int]
    outputs: Sequence[NDArray[Any]]
    answers: Sequence[NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class Judged:
    """A model in fewer bits. name: of its backend; member: what is left out with it; at_once: steps that it takes together."""

    name: str
    member: str
    scheme: str
    backend: Backend
    at_once: int
    where: str
    advice: str


def call(work: Work) -> Work:
    run = work.run
    passes = stream_test(run, numpy_backend(work.spec, work.weights))
    metrics = {"numpy": metrics_of(run, passes)}
    judged = _judged(work)
    expected = stream_test(run, reference(work.spec, work.weights)) if judged else {}
    for one in judged:
        found = stream_test(run, one.backend)
        work = _judge(work, one, found, expected)
        if one.name in work.accuracy:
            metrics[one.name] = metrics_of(run, found)
    notes = (*work.notes, *filter(None, (_answered_by_numpy(work, member) for member in work.artifacts)))
    return dataclasses.replace(work, metrics=_by_name(metrics), answers=passes[RESET].answers, notes=notes)


def _judged(work: Work) -> list[Judged]:
    found = []
    if work.native_int8:
        advice = "Use the backend native"
        found.append(Judged(NAME, NAME, "int8", native_backend(work, work.native_int8), 1, WHERE, advice))
    for member, artifact in work.artifacts.items():
        backend, steps = simulated(artifact.converter, work.weights), artifact.form.steps
        found.append(Judged(f"{SIMULATOR}{member}", member, artifact.scheme, backend, steps, SIMULATED, instead(artifact)))
    return found


def _judge(work: Work, one: Judged, found: Mapping[str, Streamed], expected: Mapping[str, Streamed]) -> Work:
    test, accuracy = work.run.splits.test, work.accuracy[one.name]
    total, passes = sum(len(s.x) for s in test), {}
    for how, streamed in found.items():
        kept, right = ([(n, test[n].name, y) for n, y in zip(s.order, s.outputs, strict=True)] for s in (streamed, expected[how]))
        own: Outputs = [(n, name, y[: own_steps(work, one.at_once, len(y))]) for n, name, y in kept]
        if (measured := measure(one.scheme, own, right, work.spec.output_names, total)) is not None:
            passes[how] = measured
    places = {RESET: "reset at each recording", NEVER_RESET: "never reset"}
    errors = {f"over the test split {one.where}, {places[how]}": p.nrmse for how, p in passes.items()}
    if why := why_wrong(one.scheme, errors):
        return work.leave_out(one.member, f"{why}. {one.advice}")
    where = f"{one.where}, the largest of the golden samples and the whole test split"
    tolerance = tolerances.quantized(one.scheme, accuracy.outputs, work.reference, where, errors.values())
    judgement = judge(one.scheme, accuracy.comparison, passes)
    work.say(f"  {one.name}: {judgement.sentence}")
    return dataclasses.replace(
        work,
        accuracy={**work.accuracy, one.name: dataclasses.replace(accuracy, tolerance=tolerance)},
        judgements={**work.judgements, one.name: judgement},
    )


def own_steps(work: Work, at_once: int, length: int) -> int:
    """Of a recording of `length` steps, those that a model of `at_once` steps answers itself. NumPy answers the others."""
    if work.spec.bidirectional:
        return length if length == at_once else 0
    return length - length % at_once


def _answered_by_numpy(work: Work, member: str) -> str | None:
    """A note where a model that takes several steps at once answers so little of the recordings that its metric is NumPy's above all."""
    steps, lengths = work.artifacts[member].form.steps, [len(s.x) for s in work.run.splits.test]
    whole = work.spec.bidirectional
    left, total = sum(length - own_steps(work, steps, length) for length in lengths), sum(lengths)
    if 2 * left <= total:
        return None
    which = f"are in recordings of other than {steps} steps" if whole else f"fill no chunk of {steps} in their recording"
    advice = "test with recordings of that length" if whole else "choose a smaller chunk"
    share = f"{member}: {100 * left / total:.0f} % of the steps of the test split {which}"
    return f"{share} and were computed by NumPy, so its metric says little; {advice}"


def test_metrics(run: Run, backends: Mapping[str, Backend]) -> tuple[dict[str, dict[str, Any]], dict[str, Sequence[NDArray[Any]]]]:
    """The metrics of each backend, and of each with its state never reset; the answers (T, O) to each test sequence of each backend."""
    passes = {name: stream_test(run, backend) for name, backend in backends.items()}
    metrics = _by_name({name: metrics_of(run, found) for name, found in passes.items()})
    return metrics, {name: found[RESET].answers for name, found in passes.items()}


def stream_test(run: Run, backend: Backend) -> dict[str, Streamed]:
    """The passes through the test split: RESET, and NEVER_RESET if there is more than one recording to carry a state through."""
    numbers = list(range(len(run.splits.test)))
    passes = {RESET: _stream(run, backend, numbers, carried=False)}
    if len(numbers) > 1 and not run.spec.bidirectional:
        passes[NEVER_RESET] = _stream(run, backend, shuffled(numbers), carried=True)
    return passes


def _stream(run: Run, backend: Backend, order: Sequence[int], *, carried: bool) -> Streamed:
    """What `Session.run` does, with the network's outputs kept."""
    before, after = preprocessor(run.spec, backend.dtype), Postprocessor(run.spec)
    outputs, answers = [], []
    backend.reset()
    for number in order:
        if not carried:
            backend.reset()
            before.reset()
        rows, filled = before.run(as_samples(run.spec, run.splits.test[number].x))
        outputs.append(backend.run(rows))
        answers.append(after(outputs[-1], filled))
    return Streamed(order, outputs, answers)


def metrics_of(run: Run, passes: Mapping[str, Streamed]) -> dict[str, dict[str, Any]]:
    """The task's metrics for each pass."""
    found = {}
    for how, streamed in passes.items():
        test = [run.splits.test[n] for n in streamed.order]
        found[how] = evaluate(run.spec, test, streamed.answers, season=run.config.data.season)
        if run.spec.anomaly_scale and how == RESET:
            found[how]["anomaly"] = measure_alarms(run.spec, test, streamed.answers)
    return found


def _by_name(metrics: Mapping[str, Mapping[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """As the manifest has them: "numpy" and the others, then "numpy, state never reset" and the others."""
    reset = {name: found[RESET] for name, found in metrics.items()}
    return reset | {f"{name}, {CARRIED}": found[NEVER_RESET] for name, found in metrics.items() if NEVER_RESET in found}
