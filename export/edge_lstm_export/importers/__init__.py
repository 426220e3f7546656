"""Nets that other tools trained. Each kind of file is a file of this folder, or a plug-in.

A module has `ENDINGS`, of the files' names, and `read(path) -> Foreign`. It may have
`refusal(path) -> str`: why a file of another ending is not taken, "" if it has no answer to it. If
it has `STATES`, `read` also takes the states that a user names, input -> output. No other file
names one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.errors import ConversionError
from edge_lstm_runtime.inputs.frames import Frames
from edge_lstm_runtime.model.network import Network
from edge_lstm_runtime.registry import Registry

if TYPE_CHECKING:
    from ..graphs.step import StepModel

Float32 = NDArray[np.float32]
Floats = NDArray[Any]  # of float32 or float64

IMPORTERS = Registry(
    __name__, "edge_lstm.importers", "kind of net", marker="ENDINGS", unknown=ConversionError
)


class Original(Protocol):
    """The net, computed by its own tool or by another implementation than ours.

    tool    its name and version, such as "ONNX Runtime 1.31.1"
    double  whether it computes in float64. Else it computes in float32
    """

    tool: str
    double: bool

    def run(self, xs: Float32) -> dict[str, Floats]:
        """xs: (T, F), from the start of a stream -> (T, n) the outputs of layers, by our names.

        The state is carried from step to step. If the net needs whole sequences, T is a multiple
        of their length, and each is one. The last layer is there, and of the others as many as
        the tool can tell.
        """


@dataclasses.dataclass(frozen=True)
class Foreign:
    """A net that another tool trained, in our terms.

    network, weights  as of a specification. The names of weights are "LAYER.NAME"
    original          what it is proved against
    nodes             our layer -> its name in the file, for messages. {} if they are the same
    inputs, outputs   the names of features and of outputs, () if the file has none
    notes             what a user must know, a sentence each
    counts            feature -> N, if it must be a whole number from 0 to N - 1
    length            steps of a sequence, if the net needs whole ones and takes no others
    measured          the samples -> more such sentences, once the net is proved
    step              the graph, if the network is a `StepGraph`
    frames            of sound that a step reads, if the file says it
    """

    network: Network
    weights: dict[str, Float32]
    original: Original
    nodes: dict[str, str] = dataclasses.field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    counts: Mapping[int, int] = dataclasses.field(default_factory=dict)
    length: int | None = None
    measured: Callable[[Float32], tuple[str, ...]] = lambda _: ()
    step: StepModel | None = None
    frames: Frames | None = None


def endings() -> dict[str, str]:
    """Ending -> the name of its importer."""
    return {ending: name for name in IMPORTERS.names() for ending in IMPORTERS.load(name).ENDINGS}


def importer_of(path: Path) -> Any:
    """The module that reads a file. Raises ConversionError."""
    known = endings()
    if path.suffix.lower() not in known:
        for name in IMPORTERS.names():
            answer = getattr(IMPORTERS.load(name), "refusal", None)
            if answer and (why := answer(path)):
                raise ConversionError(f"{path}: {why}")
        raise ConversionError(
            f"{path}: the ending {path.suffix!r} is of no known kind of net; expected one of "
            f"{', '.join(sorted(known))}"
        )
    return IMPORTERS.load(known[path.suffix.lower()])
