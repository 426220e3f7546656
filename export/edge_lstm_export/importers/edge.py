"""Bundles of nets that were imported: for another target or number format, or with other samples.

The original is not in a bundle. So the net is compared with its own float64 reference, which was
proved against the original when the net was imported.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_lstm_runtime import Backend, load
from edge_lstm_runtime.backends.reference import reference
from edge_lstm_runtime.errors import BundleError, ConversionError
from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.model.bundle import Bundle
from edge_lstm_runtime.model.step_graph import StepGraph
from edge_lstm_runtime.tasks.values import Values

from . import Float32, Floats, Foreign

if TYPE_CHECKING:
    from ..graphs.step import StepModel

ENDINGS = (".edge",)


class _Reference:
    """An `Original`: the equations of the bundle's layers, or onnx.reference on its graph."""

    double = True

    def __init__(self, backend: Backend, output: str):
        self.tool = "the bundle's float64 reference"
        self._backend = backend
        self._output = output

    def run(self, xs: Float32) -> dict[str, Floats]:
        self._backend.reset()
        return {self._output: self._backend.run(xs.astype(np.float64))}


def read(path: Path) -> Foreign:
    """Raises ConversionError for a damaged bundle, and for one of a net that was trained here."""
    try:
        bundle = load(path).bundle
    except BundleError as e:
        raise ConversionError(str(e)) from e
    spec = bundle.spec
    if not (isinstance(spec.answer, Values) and isinstance(spec.inputs, Channels)):
        raise ConversionError(
            f"{path}: is a bundle of a net that was trained here: export the run that it was made "
            "from (`edge-lstm export RUN`)"
        )
    if spec.whole:
        raise ConversionError(f"{path}: needs whole sequences: import the net's own file again")
    network = spec.network
    step = step_of(bundle) if isinstance(network, StepGraph) else None
    backend = reference(spec, bundle.weights) if step is None else step.reference()
    notes = (f"Made from the bundle {path.name}, whose net was proved when it was imported",)
    return Foreign(
        network,
        dict(bundle.weights),
        _Reference(backend, network.output),
        inputs=spec.inputs.names,
        outputs=tuple(spec.answer.names),
        notes=notes,
        step=step,
        frames=spec.inputs.frames,
    )


def step_of(bundle: Bundle) -> StepModel:
    """The graph of a bundle whose network is an opaque step graph."""
    import onnx

    from ..graphs.step import StepModel

    network = bundle.spec.network
    assert isinstance(network, StepGraph)
    return StepModel(network, onnx.load_model_from_string(bundle.member(network.member)))
