"""Whether an imported net is the original: both run over the same samples."""

from __future__ import annotations

import numpy as np

from edge_lstm_runtime.errors import ConversionError
from edge_lstm_runtime.layers import Layer
from edge_lstm_runtime.layers.ops import NUMPY

from . import Float32, Floats, Foreign

STEPS = 300  # that the state is carried over at least
# Of an output's largest value. Our weights are float32, and two biases of the original are one of
# ours. Both round each sum in float32, and a state carries that on.
DOUBLE = 1e-6
SINGLE = 1e-4


def prove(foreign: Foreign, xs: Float32) -> Floats:
    """(T, O) the outputs of the original.

    xs: (T, F), which are repeated if they are less than STEPS. Raises ConversionError, naming the
    first layer that differs.
    """
    stream = np.tile(xs, (-(-STEPS // len(xs)), 1)) if len(xs) < STEPS else xs
    theirs = foreign.original.run(stream)
    ours = layer_outputs(foreign, stream)
    relative = DOUBLE if foreign.original.double else SINGLE
    for layer in foreign.network.layers:
        if layer.name not in theirs:
            continue
        expected = theirs[layer.name]
        found = ours[layer.name]
        node = foreign.nodes.get(layer.name, layer.name)
        if found.shape != expected.shape:
            raise ConversionError(
                f"{node!r} has outputs of shape {found.shape} here, and {expected.shape} in "
                f"{foreign.original.tool}"
            )
        error = np.abs(found - expected).max(axis=1)
        limit = relative * max(1.0, float(np.abs(expected).max()))
        if not (error <= limit).all():  # or one of them is NaN
            step = int(np.argmax(~(error <= limit)))
            raise ConversionError(
                f"{node!r} is the first part that differs from {foreign.original.tool}: by "
                f"{error[step]:.2g} at step {step} of {len(stream)}, and at most {limit:.2g} is "
                "rounding; nothing was written. Please report this net"
            )
    return theirs[foreign.network.layers[-1].name][: len(xs)]


def layer_outputs(foreign: Foreign, xs: Float32) -> dict[str, Floats]:
    """(T, n) float64 the outputs of each layer, by the equations. xs: (T, F)."""
    network = foreign.network
    weights = {name: w.astype(np.float64) for name, w in foreign.weights.items()}
    own = {layer.name: network.own(layer, weights) for layer in network.layers}

    def product(layer: Layer, name: str, v: Floats) -> Floats:
        found: Floats = v @ own[layer.name][name]
        return found

    if foreign.length is not None:
        sequences = xs.astype(np.float64).reshape(-1, foreign.length, xs.shape[1])
        parts = [network.whole_values(product, own, x) for x in sequences]
        return {n.name: np.concatenate([part[n.name] for part in parts]) for n in network.layers}
    state = network.initial_state(np.float64)
    found: dict[str, list[Floats]] = {layer.name: [] for layer in network.layers}
    for x in xs.astype(np.float64):
        values, state = network.values(NUMPY, product, own, x, state)
        for name, rows in found.items():
            rows.append(values[name])
    return {name: np.stack(rows) for name, rows in found.items()}
