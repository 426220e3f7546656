"""A layer that reads all steps of a call at once cuts the graph in two.

Before it, each operator computes step by step. It, and what reads it, are a graph of their own,
which answers once for each window of steps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from edge_lstm_runtime.errors import ConversionError

from .. import Float32
from .._elements import Ids, source_of, step_of, unit_of
from .file import Operator
from .walk import Walk


@dataclasses.dataclass(frozen=True)
class Cut:
    """before, after  the operators of both graphs
    tensor  the window, which is the input of the second graph. None if there is none
    outputs of the second graph
    """

    before: tuple[Operator, ...]
    after: tuple[Operator, ...]
    tensor: int | None
    outputs: frozenset[int]


def cut(walk: Walk) -> Cut:
    """Raises ConversionError if what is after the window reads other steps too."""
    after: list[Operator] = []
    before: list[Operator] = []
    made: set[int] = set()
    windows = {walk.same.get(o.inputs[0], o.inputs[0]) for o in walk.windows}
    if len(windows) > 1:
        raise ConversionError(f"{len(windows)} tensors are read as windows of steps, expected 1")
    for operator in walk.graph.operators:
        read = [place for place in operator.inputs if place in walk.ids]
        if operator in walk.windows or made.intersection(read):
            others = [p for p in read if p not in made and walk.same.get(p, p) not in windows]
            if others:
                name = walk.tensor(operator.outputs[0]).name
                raise ConversionError(
                    f"{operator.code} {name!r} can't be taken: it reads a window and a step of it"
                )
            after.append(operator)
            made.update(operator.outputs)
        elif not _mixed(walk, operator.outputs[0]):
            before.append(operator)
    return Cut(tuple(before), tuple(after), min(windows, default=None), frozenset(made))


def _mixed(walk: Walk, place: int) -> bool:
    """Whether steps are side by side in the tensor, with other values."""
    if place not in walk.ids or walk.steps == 1 or walk.time(place) is not None:
        return False
    return len(np.unique(step_of(walk.ids[place]))) > 1


def windows(ids: Ids, steps: int, values: Mapping[int, Float32]) -> Iterator[Float32]:
    """For each step of a stream, the tensor of the last steps: of the shape of ids.

    ids: the tensor's. values: (T, n) of its sources. Before the stream stand zeros.
    """
    sources, at, units = (part(ids) for part in (source_of, step_of, unit_of))
    padded = {
        source: np.concatenate([np.zeros((steps - 1, rows.shape[1]), np.float32), rows])
        for source, rows in values.items()
    }
    for k in range(len(next(iter(values.values())))):
        found = np.zeros(ids.shape, np.float32)
        for source, rows in padded.items():
            here = sources == source
            found[here] = rows[k + at[here], units[here]]
        yield found
