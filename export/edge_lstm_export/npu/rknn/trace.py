"""The tensors inside of a converted model: it is built once more with them as further outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime import ModelSpec
from edge_lstm_runtime.layers import FEATURES
from edge_lstm_runtime.layers.ops import NUMPY

from ...graphs.builder import state_name
from ...graphs.form import Form, traced_outputs
from ...measure.cells import recorded
from ...work import Artifact, Work
from ..converted import Traced
from ..worker.process import once_more
from .conversion import Conversion
from .converter import Converter


def traced(work: Work, artifact: Artifact, rows: NDArray[np.float32]) -> list[Traced]:
    spec = work.spec
    offered: Any = artifact.form
    form: Form = offered.with_traces(spec)
    sizes = traced_outputs(spec, form)
    graph = form.graph.SerializeToString()
    conversion = Conversion(
        spec, graph, form.recipe, artifact.target, artifact.scheme, work.calibration
    )

    def outputs() -> NDArray[np.float32]:
        with Converter(conversion, batch=work.batch) as converter:
            converter.reset()
            return converter.trace(rows)

    ends = np.cumsum(list(sizes.values()))[:-1]
    found = np.split(once_more(outputs, work.say), ends, axis=1)
    reference = reference_trace(spec, work.weights, rows, form)
    return [Traced(name, array, reference[name]) for name, array in zip(sizes, found, strict=True)]


def reference_trace(
    spec: ModelSpec, weights: Any, rows: NDArray[Any], form: Form
) -> dict[str, NDArray[np.float64]]:
    """The outputs of a form with traces, by its names: (steps, size) each, as the float64 cells
    compute them over a stream.

    rows: (steps, F), from the start of a stream.
    """
    network = spec.network
    exact = {name: np.asarray(array, np.float64) for name, array in weights.items()}
    values = {FEATURES: np.asarray(rows, np.float64)}
    kept: dict[str, dict[str, NDArray[np.float64]]] = {}
    trace = {}
    for layer in network.layers:
        xs = NUMPY.join([values[name] for name in layer.inputs])
        values[layer.name], kept[layer.name], states = recorded(
            layer, network.own(layer, exact), xs
        )
        for name, after in states.items():
            trace[state_name(f"{layer.name}.{name}", "out")] = after
    for name, (of, parts) in form.traced.items():
        trace[name] = np.concatenate([kept[of][part] for part in parts], axis=1)
    return {**trace, "y": values[network.layers[-1].name]}
