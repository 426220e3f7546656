"""TensorFlow Lite: a `.tflite` file is a flatbuffer of one graph.

file      the graph, with all its bounds checked
walk      what the operators become; each value is known by its origin, as of ONNX
nodes     the operators; pointwise those on each step by itself
window    a dense layer over all steps of a call
written   the graph as a file again, of what was read alone
original  LiteRT's interpreter over a stream
"""

from __future__ import annotations

from pathlib import Path

from .. import Foreign
from .graph import foreign

ENDINGS = (".tflite",)


def read(path: Path) -> Foreign:
    """Raises ConversionError: for a damaged file, and naming all operators that can't be taken."""
    return foreign(path)
