"""Step 12: the test split, streamed through each backend: the metric that the user cares about, and
the verdict on each model in fewer bits.

A model in fewer bits is judged by the streams that its metric comes from. Its tolerance for `check`
allows the errors of those streams as well. If it is certainly wrong here, it is left out.

The simulator is slow. If the split has more steps than `Work.sim_steps`, it streams a part, and
every sentence on it says so.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from numpy.typing import NDArray

from edge_lstm import evaluate
from edge_lstm.data.recordings import Sequence as Labelled
from edge_lstm.results import alarms
from edge_lstm.tasks.base import task_of
from edge_lstm_runtime import Backend
from edge_lstm_runtime.model.measured import Measured

from ..exported import Exported
from ..measure import keys, tolerances
from ..measure.draw import Drawn, draw, whole
from ..measure.judgement import Change, Pass, Recording, judge, measure, why_wrong
from ..measure.passes import NEVER_RESET, RESET, Streamed, number_of_passes, stream_test
from ..measure.progress import Progress
from ..measure.same import differs_from_training
from ..work import Work
from .quantize_native import WHERE as ON_CPU
from .quantize_native import native_backend
from .round_native import half_backend
from .simulate import WHERE as SIMULATED
from .simulate import instead

ByPass = dict[str, dict[str, Any]]
Metrics = dict[Measured, dict[str, Any]]
Passes = Mapping[str, Streamed]


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A model in fewer bits. name: of its backend. member: left out if the model is wrong.

    at_once: the steps that it takes together. where: the place of the measurement, in words.
    drawn: what it streams.
    """

    name: Measured
    member: str
    scheme: str
    backend: Backend
    at_once: int
    where: str
    advice: str
    drawn: Drawn


@dataclasses.dataclass(frozen=True)
class Right:
    """The float64 reference's passes over what was drawn, and NumPy's metrics there."""

    expected: Passes
    metrics: ByPass


def call(work: Work) -> Work:
    run = work.run
    everything = whole(run.splits.test)
    numpy = work.float32()
    passes = stream_test(run, numpy)
    metrics = {work.base: _metrics(run, passes, everything, train=run.splits.train)}
    right: dict[int, Right] = {}  # by the number of steps that were drawn
    candidates = _candidates(work, everything)
    for one in candidates:
        steps = one.drawn.extent.steps
        if steps not in right:
            expected = stream_test(run, work.exact(), one.drawn)
            same = one.drawn.extent.whole
            float32 = passes if same else stream_test(run, numpy, one.drawn)
            right[steps] = Right(expected, _metrics(run, float32, one.drawn))
    # Each simulator is a process of its own.
    streams = work.batch.side_by_side(partial(_streamed, work), candidates)
    for one, found in zip(candidates, streams, strict=True):
        work, own = _judged(work, one, found, right[one.drawn.extent.steps])
        if own is not None:
            metrics[one.name] = own
    # An imported net was proved against its original, and the base against the reference.
    trained = {} if run.imported else run.metrics["test"]
    if trained and (differs := differs_from_training(trained, metrics[work.base][RESET])):
        work = work.doubt(f"{run.path}: {differs}")
    notes = filter(None, (_answered_by_numpy(work, member) for member in work.artifacts))
    return dataclasses.replace(
        work,
        metrics=_by_name(metrics),
        answers=passes[RESET].answers,
        notes=(*work.notes, *notes),
    )


def _streamed(work: Work, one: Candidate) -> dict[str, Streamed]:
    total = one.drawn.extent.steps * number_of_passes(work.run, one.drawn)
    progress = Progress(work.say, str(one.name), total)
    return stream_test(work.run, one.backend, one.drawn, progress)


def _candidates(work: Work, everything: Drawn) -> list[Candidate]:
    found = []
    if work.native_int8:
        backend: Backend = native_backend(work, work.native_int8)
        name = keys.NATIVE_INT8
        advice = "the backend native is exact"
        found.append(Candidate(name, str(name), "int8", backend, 1, ON_CPU, advice, everything))
    if keys.NATIVE_FP16 in work.accuracy:
        name = keys.NATIVE_FP16
        half = half_backend(work)
        advice = "the backend native is exact"
        found.append(Candidate(name, str(name), "fp16", half, 1, ON_CPU, advice, everything))
    drawn = draw(work.run.splits.test, work.sim_steps, cuts=not work.spec.whole)
    if work.artifacts and not drawn.extent.whole:
        work.say(f"  the simulator streams {drawn.extent.words()}; --sim-steps sets the limit")
    for member, artifact in work.artifacts.items():
        backend = artifact.converter.backend(work.weights)
        steps = artifact.form.steps
        name = artifact.simulated
        advice = instead(work, artifact)
        scheme = artifact.scheme
        found.append(Candidate(name, member, scheme, backend, steps, SIMULATED, advice, drawn))
    return found


def _judged(work: Work, one: Candidate, found: Passes, right: Right) -> tuple[Work, ByPass | None]:
    """With its metrics, or without the candidate and None."""
    passes = {}
    for how in found:
        if (measured := _measured(work, one, found[how], right.expected[how])) is not None:
            passes[how] = measured
    manner = {RESET: "reset at each sequence", NEVER_RESET: NEVER_RESET}
    extent = one.drawn.extent
    over = f"over {extent.part} {one.where}"
    errors = {f"{over}, {manner[h]}": p.nrmse for h, p in passes.items()}
    if why := why_wrong(one.scheme, errors):
        return work.leave_out(one.member, f"{why}; {one.advice}"), None
    accuracy = work.accuracy[one.name]
    split = "the whole test split" if extent.whole else extent.part
    where = f"{one.where}, the largest of the golden samples and {split}"
    golden = accuracy.outputs
    tolerance = tolerances.fewer_bits(one.scheme, golden, work.reference, where, errors.values())
    task = task_of(work.spec)
    own = _metrics(work.run, found, one.drawn)
    changes = {}
    for how in passes:
        both = own[how], right.metrics[how]
        changes[how] = Change(task.change(*both), task.worse(*both))
    judgement = judge(one.scheme, accuracy.comparison, passes, changes, extent, one.advice)
    work.say(f"  {one.name}: {judgement.sentence}")
    accuracy = dataclasses.replace(accuracy, tolerance=tolerance)
    judged = dataclasses.replace(
        work,
        accuracy={**work.accuracy, one.name: accuracy},
        judgements={**work.judgements, one.name: judgement},
    )
    return judged, own


def _measured(work: Work, one: Candidate, found: Streamed, expected: Streamed) -> Pass | None:
    drawn = one.drawn
    recordings = []
    for place, y, right in zip(found.order, found.outputs, expected.outputs, strict=True):
        own = own_steps(work, one.at_once, len(y))
        name = drawn.test[place].name
        recordings.append(Recording(drawn.numbers[place], name, y[:own], right[:own]))
    return measure(one.scheme, recordings, work.spec.answer.names, drawn.extent.steps)


def own_steps(work: Work, at_once: int, length: int) -> int:
    """How many of a recording's steps, from the first, a model of `at_once` steps answers itself.

    NumPy answers the others.
    """
    if work.spec.whole:
        return length if length == at_once else 0
    return length - length % at_once


def _answered_by_numpy(work: Work, member: str) -> str | None:
    """A note, if a model of several steps at once answers less than half of the test split's steps.

    Its metric is then NumPy's above all.
    """
    steps = work.artifacts[member].form.steps
    lengths = [len(s.x) for s in work.run.splits.test]
    left = sum(n - own_steps(work, steps, n) for n in lengths)
    total = sum(lengths)
    if 2 * left <= total:
        return None
    which = f"fill no chunk of {steps} in their recording"
    advice = "choose a smaller chunk"
    if work.spec.whole:
        which = f"are in recordings of other than {steps} steps"
        advice = "test with recordings of that length"
    share = f"{member}: {100 * left / total:.0f} % of the steps of the test split {which}"
    return f"{share} and were computed by NumPy, so its metric says little; {advice}"


def test_metrics(
    run: Exported,
    backends: Mapping[Measured, Backend],
) -> tuple[Metrics, dict[Measured, Sequence[NDArray[Any]]]]:
    """The metrics of each backend, also with its state never reset, and the answers of each
    backend: (T, O) for each test sequence."""
    passes = {name: stream_test(run, backend) for name, backend in backends.items()}
    drawn = whole(run.splits.test)
    metrics = _by_name({name: _metrics(run, found, drawn) for name, found in passes.items()})
    return metrics, {name: found[RESET].answers for name, found in passes.items()}


def _metrics(
    run: Exported, passes: Passes, drawn: Drawn, train: Sequence[Labelled] | None = None
) -> ByPass:
    """The task's metrics of each pass. train: the training split, for baselines of RESET."""
    found = {}
    for how, streamed in passes.items():
        test = [drawn.test[place] for place in streamed.order]
        fitted_on = train if how == RESET else None
        season = run.season
        found[how] = evaluate(run.spec, test, streamed.answers, season=season, train=fitted_on)
        if run.spec.detector and how == RESET:
            scored = alarms.scores(run.spec, test, list(streamed.answers))
            found[how][alarms.KEY] = alarms.measure(run.spec, test, scored)
    return found


def _by_name(metrics: Mapping[Measured, ByPass]) -> Metrics:
    """As the manifest has them: those of RESET, then the others."""
    reset = {name: found[RESET] for name, found in metrics.items()}
    carried = {n.never_reset(): m[NEVER_RESET] for n, m in metrics.items() if NEVER_RESET in m}
    return reset | carried
