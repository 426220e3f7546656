"""The backend to use, by what was measured on the exporting machine: the fastest of those within
tolerance whose main metric, the first that the task tells, is not worse than float32's.

A float32 backend is within float32 rounding of the reference, or it was left out. So its metric is
the float model's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from edge_lstm_runtime.model.measured import Measured
from edge_lstm_runtime.verify.check import NOT_USABLE

from .judgement import Judgement
from .speed import Speed, machine

PERCENT = 5  # of a time, that another one may be longer by chance
NOISE = 1 + PERCENT / 100
ELSEWHERE = (
    "On a board the order may be another one: `edge-lstm bench` measures there, and "
    "`--backend auto` takes the fastest backend that is right."
)


class Recommended(NamedTuple):
    """best: None if no backend is recommended. sentences: the recommendation first."""

    best: Speed | None
    sentences: tuple[str, ...]


def recommend(
    speeds: Sequence[Speed], judgements: Mapping[Measured, Judgement], *, imported: bool
) -> Recommended:
    """judgements: of the models in fewer bits. imported: the net's own metric is not known."""
    right = [s for s in speeds if _is_right(judgements.get(s.name))]
    if not right:
        why = "no backend could be timed here" if not speeds else "each one here is worse"
        return Recommended(None, (f"No backend is recommended: {why}. {ELSEWHERE}",))
    fastest = min(s.p50_us for s in right)
    near = [s for s in right if s.p50_us <= NOISE * fastest]
    best = min(near, key=lambda s: (s.weights, s.p50_us))
    exact = "the answers of float32" if imported else _loss(judgements.get(best.name))
    said = [f"Use {best.name.backend}: {_cost(best)}, {exact}."]
    metric = "" if imported else " and whose main metric is not worse than that of float32"
    those = f"Of the {len(right)} backends that are within tolerance{metric}, it"
    if len(right) == 1:
        which = f"It is the only backend that is within tolerance{metric}"
    elif len(near) == 1:
        which = f"{those} is the fastest"
    else:
        which = f"{those} has the smallest weights among those within {PERCENT} % of the fastest"
    said.append(f"{which}, timed on this machine ({machine()}).")
    said += _others(best, speeds, judgements, imported=imported)
    return Recommended(best, (*said, ELSEWHERE))


def _is_right(judgement: Judgement | None) -> bool:
    """Whether the first metric is not worse in any pass, as it is printed. None: in float32."""
    if judgement is None:
        return True
    first = [change.worse[0] for change in judgement.changes.values() if change.worse]
    usable = judgement.verdict != NOT_USABLE
    return usable and bool(first) and all(round(w, 1) <= 0 for w in first)


def _loss(judgement: Judgement | None) -> str:
    """In words, of the pass that loses most."""
    changes = [] if judgement is None else [c for c in judgement.changes.values() if c.worse]
    worst = max(changes, key=lambda change: max(change.worse), default=None)
    if worst is None or all(round(w, 1) <= 0 for w in worst.worse):
        return "no loss on the test split"
    return f"{worst.words} against float32"


def _cost(speed: Speed) -> str:
    """1 kB = 1,000 bytes."""
    time = short(speed.p50_us)
    return f"{time} µs a step and {short(speed.weights / 1000)} kB of weights"


def _others(
    best: Speed,
    speeds: Iterable[Speed],
    judgements: Mapping[Measured, Judgement],
    *,
    imported: bool,
) -> list[str]:
    """A sentence on each backend that is faster or smaller, and is not recommended."""
    said = []
    for speed in speeds:
        judgement = judgements.get(speed.name)
        if speed is best or judgement is None or _is_right(judgement):
            continue
        if judgement.verdict == NOT_USABLE:
            why = f"it is {NOT_USABLE}"
        elif imported:
            why = "what that does to the net's own task is not known"
            why = f"it is {judgement.verdict} by its error, and {why}"
        else:
            why = f"it has {_loss(judgement)}" if judgement.changes else "no metric was measured"
        said.append(f"{speed.name.backend} takes {_cost(speed)}, but {why}.")
    return said


def short(value: float) -> str:
    """Two digits after the point below 10, one below 1,000, and never a power of ten."""
    return f"{value:,.{2 if value < 10 else 1 if value < 1000 else 0}f}"
