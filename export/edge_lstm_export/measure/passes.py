"""The test split, streamed through a backend.

One pass starts from the zero state at each recording. The other is one stream through all
recordings, as on a board that nobody resets.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm.data.recordings import shuffled
from edge_lstm_runtime import Backend
from edge_lstm_runtime.inputs import as_samples
from edge_lstm_runtime.session import answers as scaled

from ..exported import Exported
from .draw import Drawn, whole

RESET = "reset"
NEVER_RESET = "never reset"
BLOCK = 1000  # steps between two looks at the clock


@dataclasses.dataclass(frozen=True)
class Streamed:
    """One pass, a recording after the other.

    order: the place of each in `Drawn.test`. outputs: (T, O) each, of the network. answers:
    (T, O) each, logits or raw units.
    """

    order: Sequence[int]
    outputs: Sequence[NDArray[Any]]
    answers: Sequence[NDArray[Any]]


def stream_test(
    run: Exported,
    backend: Backend,
    drawn: Drawn | None = None,
    done: Callable[[int], None] = lambda _: None,
) -> dict[str, Streamed]:
    """RESET, and NEVER_RESET if there is a second recording that a state can be carried into.

    A bidirectional model carries no state. drawn: of the test split, None for all of it. done: is
    told the number of steps, as they are done.
    """
    drawn = drawn or whole(run.splits.test)
    places = range(len(drawn.test))
    stream = _Stream(run, backend, drawn, done)
    passes = {RESET: stream.one_pass(places, carried=False)}
    if number_of_passes(run, drawn) > 1:
        passes[NEVER_RESET] = stream.one_pass(shuffled(places), carried=True)
    return passes


def number_of_passes(run: Exported, drawn: Drawn) -> int:
    return 2 if len(drawn.test) > 1 and not run.spec.whole else 1


@dataclasses.dataclass(frozen=True)
class _Stream:
    run: Exported
    backend: Backend
    drawn: Drawn
    done: Callable[[int], None]

    def one_pass(self, order: Sequence[int], *, carried: bool) -> Streamed:
        """As `Session.run` does it, with the network's outputs kept."""
        inputs = self.run.spec.inputs
        before = inputs.preprocessor(self.backend.dtype, None, keep_last=True)
        scaling = self.run.spec.answer.scaling(inputs)
        outputs = []
        answers = []
        self.backend.reset()
        for place in order:
            if not carried:
                self.backend.reset()
                before.reset()
            rows, filled = before.run(as_samples(inputs, self.drawn.test[place].x))
            outputs.append(self._run(rows))
            answers.append(outputs[-1] if scaling is None else scaled(scaling, outputs[-1], filled))
        return Streamed(order, outputs, answers)

    def _run(self, rows: NDArray[Any]) -> NDArray[Any]:
        """The outputs of a recording, in blocks that a model of several steps at once fills."""
        at_once = self.backend.at_once
        some = len(rows) if self.run.spec.whole else at_once * max(1, BLOCK // at_once)
        parts = []
        for start in range(0, len(rows), max(1, some)):
            parts.append(self.backend.run(rows[start : start + some]))
            self.done(len(parts[-1]))
        return np.concatenate(parts) if len(parts) != 1 else parts[0]
