"""ONNX: the graph of one step, with its states, or of a sequence.

load      the file, with what is refused before anything is computed
trace     walks the nodes. Operators that only move values move these origins
nodes     what the operators that compute become
original  ONNX Runtime over the same samples
"""

from __future__ import annotations

from pathlib import Path

from .. import Foreign

ENDINGS = (".onnx",)


def read(path: Path) -> Foreign:
    """The net of a file: its first input is x, its first output is y, the others are states.

    Raises ConversionError, one line: for a file that can't be read, for operators that no layer
    stands for (all of them at once), for states that have no pair.
    """
    from .graph import foreign

    return foreign(path)
