"""The verdict on a model in fewer bits: its distance from the reference over the whole test split,
and the words for it. docs/backends.md, "What the verdict rests on"."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime import Comparison, compare

from . import tolerances
from .draw import Extent
from .grades import GOOD, grade, words
from .passes import NEVER_RESET, RESET

FLAT = 0.01  # of the spread of all outputs: the least that an output's own spread counts as

Array = NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Recording:
    """outputs, reference: (T, O). number: in the test split, from 0."""

    number: int
    name: str
    outputs: Array
    reference: Array


@dataclasses.dataclass(frozen=True)
class Worst:
    """The worst of the recordings, or of the outputs. index: its number, from 0."""

    name: str
    index: int
    nrmse: float


@dataclasses.dataclass(frozen=True)
class Pass:
    """The distance of the outputs of one pass through the test split from the reference's.

    nrmse: over the standard deviation of all outputs of the reference. For a single output, it is
    over that output's own. steps: those that the model itself answered. of: all that were streamed.
    above: the number of recordings whose NRMSE is above the good one. worst_recording,
    worst_output: None if there is only one.
    """

    recordings: int
    steps: int
    of: int
    max_abs: float
    nrmse: float
    above: int
    worst_recording: Worst | None
    worst_output: Worst | None


@dataclasses.dataclass(frozen=True)
class Change:
    """How the task's metrics of a pass differ from float32's, over the same recordings.

    words, worse: see `Task.change` and `Task.worse`.
    """

    words: str
    worse: Sequence[float]


@dataclasses.dataclass(frozen=True)
class Judgement:
    """verdict: see `grades`. sentence: the verdict with its figures. streamed: the part of the test
    split that the passes took."""

    verdict: str
    sentence: str
    passes: Mapping[str, Pass]
    changes: Mapping[str, Change]
    streamed: Extent


def measure(
    scheme: str,
    recordings: Sequence[Recording],
    names: Sequence[str],
    of: int,
) -> Pass | None:
    """None if there is no step.

    recordings: only with the steps that the model itself answered. names: of the outputs. of: the
    number of steps that were streamed.
    """
    recordings = [one for one in recordings if len(one.outputs)]
    if not recordings:
        return None
    outputs = np.concatenate([one.outputs for one in recordings])
    reference = np.concatenate([one.reference for one in recordings])
    whole = compare(outputs, reference)
    spread = float(reference.std())
    by_recording = []
    for one in recordings:
        error = compare(one.outputs, one.reference, spread)
        by_recording.append(Worst(one.name, one.number, error.nrmse))
    by_output = []
    for k, own in enumerate(np.maximum(reference.std(axis=0), FLAT * spread).tolist()):
        error = compare(outputs[:, [k]], reference[:, [k]], own)
        by_output.append(Worst(names[k], k, error.nrmse))
    return Pass(
        recordings=len(recordings),
        steps=len(outputs),
        of=of,
        max_abs=whole.max_abs,
        nrmse=whole.nrmse,
        above=sum(one.nrmse > tolerances.good(scheme) for one in by_recording),
        worst_recording=_worst(by_recording),
        worst_output=_worst(by_output),
    )


def _worst(rows: Sequence[Worst]) -> Worst | None:
    return max(rows, key=lambda row: row.nrmse) if len(rows) > 1 else None


def judge(
    scheme: str,
    golden: Comparison,
    passes: Mapping[str, Pass],
    changes: Mapping[str, Change],
    streamed: Extent,
    advice: str,
) -> Judgement:
    """By the passes, or by the golden samples if the model itself answers no step of the split.

    changes: of the same passes. advice: for a model that is not good, what to use instead.
    """
    parts = [w.nrmse for p in passes.values() for w in (p.worst_recording, p.worst_output) if w]
    whole = max((p.nrmse for p in passes.values()), default=golden.nrmse)
    if not passes:
        changes = {}  # the metrics are NumPy's
    worse = [w for change in changes.values() for w in change.worse]
    verdict = grade(scheme, whole, max(parts, default=0.0), worse)
    said = [_over_golden(golden)]
    if passes:
        said = [_over_split(passes, streamed, tolerances.good(scheme))]
        said.append(_changed(changes))
    said.append(words(verdict, scheme, metric=bool(worse) or not passes))
    if verdict != GOOD:
        said.append(advice)
    return Judgement(verdict, f"{verdict}: {'; '.join(said)}", passes, changes, streamed)


def why_wrong(scheme: str, errors: Mapping[str, float]) -> str | None:
    """The reason to leave a model out, or None. errors: the place, in words -> the NRMSE there."""
    limit = tolerances.wrong(scheme)
    for where, nrmse in errors.items():
        if not nrmse <= limit:
            found = f"NRMSE {nrmse:.2g}" if np.isfinite(nrmse) else "answers that are not finite"
            return f"{found} {where}; more than {limit:g} is no rounding to {scheme}, it is wrong"
    return None


def _over_golden(golden: Comparison) -> str:
    over = f"over the {golden.steps:,} golden samples alone"
    return f"NRMSE {golden.nrmse:.1e} {over}; it answers no recording of the test split"


def _how(how: str, passes: Mapping[str, Any]) -> str:
    """Words for one of several passes."""
    return {RESET: " when reset at each", NEVER_RESET: f" when {NEVER_RESET}"}[how] * (
        len(passes) > 1
    )


def _changed(changes: Mapping[str, Change]) -> str:
    told = (f"{change.words}{_how(how, changes)}" for how, change in changes.items())
    return f"against float32 {', and '.join(told)}"


def _over_split(passes: Mapping[str, Pass], streamed: Extent, limit: float) -> str:
    first = next(iter(passes.values()))
    over = f"over {streamed.words()}"
    if first.steps < first.of:
        recordings = f"({first.recordings} recording{'s' if first.recordings > 1 else ''})"
        own = f"the {first.steps:,} of {first.of:,} steps"
        over = f"over {own} of the test split that it answers itself {recordings}"
        if not streamed.whole:
            over = f"over {own} that it answers itself {recordings} of {streamed.words()}"
    said = []
    for how, one in passes.items():
        said.append(f"NRMSE {one.nrmse:.1e}{_how(how, passes)}")
        if (worst := one.worst_recording) is not None:
            above = f"{one.above} of {one.recordings} above {limit:g}"
            said[-1] += f" (worst recording {worst.name!r} {worst.nrmse:.1e}, {above})"
    worst_outputs = [one.worst_output for one in passes.values() if one.worst_output]
    if worst_outputs:
        worst = max(worst_outputs, key=lambda w: w.nrmse)
        return f"{over}, {', and '.join(said)}; worst output {worst.name!r} {worst.nrmse:.1e}"
    return f"{over}, {', and '.join(said)}"
