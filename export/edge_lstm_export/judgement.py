"""The verdict on a model in fewer bits: how far it is from the reference over the whole test split, and in which words that is said."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime import Comparison, compare

from . import tolerances

RESET, NEVER_RESET = "reset", "never reset"  # the two passes: each recording from the zero state, and all as one stream
FLAT = 0.01  # of the spread of all outputs: an output that varies by less is judged as if it varied by this


@dataclasses.dataclass(frozen=True)
class Worst:
    """Of the recordings, or of the outputs. index: its number in the test split, or among the outputs, from 0."""

    name: str
    index: int
    nrmse: float


@dataclasses.dataclass(frozen=True)
class Pass:
    """One pass through the test split. NRMSE: over the standard deviation of all outputs of the reference; of one output, over its own.

    steps: that the model itself answered; of: all there are. above: recordings with an NRMSE of more than is good. worst_recording and
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
class Judgement:
    """verdict: GOOD, MOSTLY or POOR; sentence: that with its figures; passes: RESET and NEVER_RESET, as far as there are any."""

    verdict: str
    sentence: str
    passes: Mapping[str, Pass]


GOOD, MOSTLY, POOR = "good", "good on the whole, not everywhere", "worse than it should be"
Outputs = Sequence[tuple[int, str, NDArray[Any]]]  # of each recording: its number in the split, its name, (T, O)


def measure(scheme: str, found: Outputs, reference: Outputs, output_names: Sequence[str], of: int) -> Pass | None:
    """found: what the model itself answered, from the start of each recording; reference: of the same recordings, at least as long.

    of: the steps of the whole split. None if there is no step.
    """
    pairs = [(n, name, y, r[: len(y)]) for (n, name, y), (_, _, r) in zip(found, reference, strict=True) if len(y)]
    if not pairs:
        return None
    outputs, expected = (np.concatenate([pair[k] for pair in pairs]) for k in (2, 3))
    whole, spread = compare(outputs, expected), float(expected.std())
    by_recording = [Worst(name, n, compare(y, r, spread).nrmse) for n, name, y, r in pairs]
    own = np.maximum(expected.std(axis=0), FLAT * spread)
    columns = enumerate(zip(output_names, outputs.T, expected.T, own.tolist(), strict=True))
    by_output = [Worst(name, k, compare(y[:, None], r[:, None], s).nrmse) for k, (name, y, r, s) in columns]
    return Pass(
        recordings=len(pairs),
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


def judge(scheme: str, golden: Comparison, passes: Mapping[str, Pass]) -> Judgement:
    """By the passes through the test split; by the golden samples if the model itself answers no step of it."""
    limit = tolerances.good(scheme)
    nrmse = max((p.nrmse for p in passes.values()), default=golden.nrmse)
    parts = [part.nrmse for p in passes.values() for part in (p.worst_recording, p.worst_output) if part]
    verdict = POOR if nrmse > limit else MOSTLY if max(parts, default=0.0) > limit else GOOD
    return Judgement(verdict, f"{verdict}: {_figures(golden, passes)}; at most {limit:g} is good", passes)


def why_wrong(scheme: str, errors: Mapping[str, float]) -> str | None:
    """The reason to leave a model out, or None. errors: NRMSE by the place where it was measured, in words."""
    limit = tolerances.wrong(scheme)
    for where, nrmse in errors.items():
        if not nrmse <= limit:
            found = f"NRMSE {nrmse:.2g}" if np.isfinite(nrmse) else "answers that are not finite"
            return f"{found} {where}; more than {limit:g} is no rounding to {scheme}, it is wrong"
    return None


def _figures(golden: Comparison, passes: Mapping[str, Pass]) -> str:
    if not passes:
        return f"NRMSE {golden.nrmse:.1e} over the {golden.steps:,} golden samples alone; it answers no recording of the test split"
    first = next(iter(passes.values()))
    recordings = f"{first.recordings} recording{'s' if first.recordings > 1 else ''}"
    over = f"the whole test split ({recordings}, {first.steps:,} steps)"
    if first.steps < first.of:
        over = f"the {first.steps:,} of {first.of:,} steps of the test split that it answers itself ({recordings})"
    said = [f"NRMSE {first.nrmse:.1e} over {over}"]
    if NEVER_RESET in passes:
        said = [f"{said[0]} when reset at each, {passes[NEVER_RESET].nrmse:.1e} when {NEVER_RESET}"]
    for how, one in passes.items():
        mode = f" ({how})" if len(passes) > 1 else ""
        if (recording := one.worst_recording) is not None:
            count = f"{one.above} of {one.recordings} recordings above the limit"
            said.append(f"{count}, the worst {recording.name!r} with {recording.nrmse:.1e}{mode}")
    outputs = [one.worst_output for one in passes.values() if one.worst_output]
    if outputs:
        output = max(outputs, key=lambda w: w.nrmse)
        said.append(f"worst output {output.name!r} with {output.nrmse:.1e}")
    return "; ".join(said)
