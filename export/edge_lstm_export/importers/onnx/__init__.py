"""ONNX: the graph of one step, with its states, or of a sequence.

load      the file, with what is refused before anything is computed
trace     walks the nodes. Operators that only move values move these origins
nodes     what the operators that compute become
original  ONNX Runtime over the same samples
opaque    for a net of other operators: the graph as it is, as one step
fixed     its shapes, its constants, its hidden states
states    which of its inputs and outputs are one state
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .. import Foreign

ENDINGS = (".onnx",)
STATES = True


def read(path: Path, states: Mapping[str, str] | None = None) -> Foreign:
    """The net of a file: its first input is x, its first output is y, the others are states.

    states: input -> output, of pairs that the user names.

    Raises ConversionError, one line: for a file that can't be read, for operators that no layer
    stands for (all of them at once), if it is no single step either, for states that have no pair.
    """
    from .graph import foreign

    return foreign(path, states or {})
