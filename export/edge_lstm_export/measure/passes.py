"""The test split, streamed through a backend.

One pass starts from the zero state at each recording. The other is one stream through all
recordings, as on a board that nobody resets.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from edge_lstm import Run
from edge_lstm.data.recordings import shuffled
from edge_lstm_runtime import Backend
from edge_lstm_runtime.inputs import as_samples
from edge_lstm_runtime.session import answers as scaled

RESET = "reset"
NEVER_RESET = "never reset"


@dataclasses.dataclass(frozen=True)
class Streamed:
    """One pass, a recording after the other.

    order: the number of each in the test split. outputs: (T, O) each, of the network. answers:
    (T, O) each, logits or raw units.
    """

    order: Sequence[int]
    outputs: Sequence[NDArray[Any]]
    answers: Sequence[NDArray[Any]]


def stream_test(run: Run, backend: Backend) -> dict[str, Streamed]:
    """RESET, and NEVER_RESET if there is a second recording that a state can be carried into.

    A bidirectional model carries no state.
    """
    numbers = range(len(run.splits.test))
    passes = {RESET: _stream(run, backend, numbers, carried=False)}
    if len(numbers) > 1 and not run.spec.whole:
        passes[NEVER_RESET] = _stream(run, backend, shuffled(numbers), carried=True)
    return passes


def _stream(run: Run, backend: Backend, order: Sequence[int], *, carried: bool) -> Streamed:
    """As `Session.run` does it, with the network's outputs kept."""
    inputs = run.spec.inputs
    before = inputs.preprocessor(backend.dtype, None, keep_last=True)
    scaling = run.spec.answer.scaling(inputs)
    outputs = []
    answers = []
    backend.reset()
    for number in order:
        if not carried:
            backend.reset()
            before.reset()
        rows, filled = before.run(as_samples(inputs, run.splits.test[number].x))
        outputs.append(backend.run(rows))
        answers.append(outputs[-1] if scaling is None else scaled(scaling, outputs[-1], filled))
    return Streamed(order, outputs, answers)
