"""The checks that every recurrent layer type must pass. Each type's tests call these.

A `Kind` says how a layer looks in JSON and has a formula of its own, from elsewhere: PyTorch's
module or ONNX Runtime's operator.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import edge_lstm_runtime as rt
from edge_lstm.layers import module_of
from edge_lstm.network import CompactNet, canonical_weights
from edge_lstm_export.quantize import cpu_int8, npu_int8
from edge_lstm_runtime.backends.native_int8 import read_int8
from edge_lstm_runtime.backends.numpy import NumpyStreams
from edge_lstm_runtime.layers.ops import NUMPY
from helpers.arrays import Array, Weights
from helpers.backends import BACKENDS, open_any
from helpers.specs import feature_rows, make_spec
from helpers.tolerances import assert_close
from helpers.weights import normal_weights

STEPS = 60
CHANNELS = 3


@dataclasses.dataclass(frozen=True)
class Kind:
    """options: a layer in JSON, without name, inputs and units.

    expected: (weights of one layer in float64, x (T, inputs)) -> h (T, H), from the zero state.
    """

    options: dict[str, Any]
    expected: Callable[[Weights, Array], Array]

    def spec(self, *units: int, outputs: int = 4) -> rt.ModelSpec:
        """Layers one after the other, "r0", "r1" and so on, and a dense head."""
        names = [f"r{k}" for k in range(len(units))]
        before = ["x", *names]
        layers = [
            {**self.options, "name": name, "inputs": [b], "units": n}
            for name, b, n in zip(names, before, units, strict=False)
        ]
        return _spec([*layers, _head(names[-1], outputs)], outputs)

    def both_ways(self, units: int) -> rt.ModelSpec:
        inner = {**self.options, "units": units}
        both = {"type": "both-ways", "name": "r0", "inputs": ["x"], "layer": inner}
        return _spec([both, _head("r0", 4)], 4)

    def answers(self, spec: rt.ModelSpec, weights: Weights, rows: Array) -> tuple[Array, Weights]:
        """By the formula in float64: outputs (T, O) and each layer's h after the last step."""
        exact = {name: array.astype(np.float64) for name, array in weights.items()}
        values = rows.astype(np.float64)
        states = {}
        *inner, head = spec.network.layers
        for layer in inner:
            values = self.expected(spec.network.own(layer, exact), values)
            states[f"{layer.name}.h"] = values[-1]
        own = spec.network.own(head, exact)
        return values @ own["W"] + own["b"], states


def nrmse(found: Array, exact: Array) -> float:
    """The root mean square error over the spread of the exact outputs."""
    return float(np.sqrt(np.mean((found - exact) ** 2)) / np.std(exact))


def _head(before: str, units: int) -> dict[str, Any]:
    return {"type": "dense", "name": "head", "inputs": [before], "units": units}


def _spec(network: list[dict[str, Any]], outputs: int) -> rt.ModelSpec:
    values = make_spec(channels=CHANNELS, outputs=outputs).to_dict()
    return rt.ModelSpec.from_dict({**values, "network": network})


def check_backends(kind: Kind) -> None:
    """Every backend, stepped, its state saved and put back, gives the formula's answers."""
    spec = kind.spec(8, 5)
    weights = normal_weights(spec)
    rows = feature_rows(spec, STEPS)
    outputs, states = kind.answers(spec, weights, rows)
    for name in BACKENDS:
        backend = open_any(name, spec, weights)
        tolerance = "float64" if name == "reference" else "float32"
        found = np.stack([backend.step(row) for row in rows[:20]])
        saved = backend.state
        backend.reset()
        backend.state = saved
        assert_close(np.concatenate([found, backend.run(rows[20:])]), outputs, tolerance, name)
        for state, value in states.items():
            assert_close(backend.state[state], value, tolerance, f"{name} {state}")


def check_streams(kind: Kind) -> None:
    spec = kind.spec(8, 5)
    weights = normal_weights(spec)
    rows = np.stack([feature_rows(spec, STEPS, seed=k) for k in range(3)], axis=1)
    found = NumpyStreams(spec, weights, 3).run(rows)
    for k in range(3):
        outputs, _ = kind.answers(spec, weights, rows[:, k])
        assert_close(found[:, k], outputs, "float32", f"stream {k}")


def check_drift(kind: Kind) -> None:
    """float32 stays at the reference for 10,000 steps."""
    spec = kind.spec(8)
    weights = normal_weights(spec)
    rows = feature_rows(spec, 10_000)
    expected = open_any("reference", spec, weights).run(rows)
    found = open_any("numpy", spec, weights).run(rows)
    assert nrmse(found[-1000:], expected[-1000:]) < 1e-5


def check_both_ways(kind: Kind) -> None:
    """Forward, and backward on the reversed sequence."""
    spec = kind.both_ways(5)
    weights = normal_weights(spec)
    rows = feature_rows(spec, STEPS)
    exact = {name: array.astype(np.float64) for name, array in weights.items()}
    own = spec.network.own(spec.network.layers[0], exact)
    reverse = {n.removeprefix("reverse."): w for n, w in own.items() if n.startswith("reverse.")}
    forward = kind.expected(own, rows.astype(np.float64))
    backward = kind.expected(reverse, rows[::-1].astype(np.float64))[::-1]
    outputs = np.concatenate([forward, backward], axis=1) @ exact["head.W"] + exact["head.b"]
    from edge_lstm_runtime.backends.numpy import numpy_backend
    from edge_lstm_runtime.backends.reference import reference

    assert_close(reference(spec, weights).run(rows), outputs, "float64", "reference")
    assert_close(numpy_backend(spec, weights).run(rows), outputs, "float32", "numpy")


def check_module(kind: Kind) -> None:
    """The trainer's module: the same answers from its canonical weights, and fewer units."""
    spec = kind.spec(6, 5)
    torch.manual_seed(1)
    net = CompactNet(spec)
    weights = canonical_weights(net)
    rows = feature_rows(spec, STEPS)
    outputs, states = kind.answers(spec, weights, rows)
    with torch.inference_mode():
        first, state = net(torch.from_numpy(rows[None, :25]))
        found, state = net(torch.from_numpy(rows[None, 25:]), state)
    joined = torch.cat([first, found], dim=1)[0].numpy()
    assert_close(joined, outputs, "float32", "torch")
    for name, value in states.items():
        assert_close(state[name][0].numpy(), value, "float32", name)
    _check_smaller(spec)


def _check_smaller(spec: rt.ModelSpec) -> None:
    """If units whose weights out are 0 are removed, the answers stay."""
    layer = spec.network.layers[0]
    module = module_of(layer, CHANNELS)
    module.initialize()
    kept = torch.tensor([0, 2, 3, 5])
    gone = torch.tensor([1, 4])
    with torch.no_grad():
        for name in module.rows():
            W = dict(module.named_parameters())[name]
            if W.shape[1] == 6:  # of h
                W[:, gone] = 0
    small = module_of(dataclasses.replace(layer, units=4), CHANNELS)  # type: ignore[call-arg]
    own = dict(module.state_dict())
    small.load_state_dict(module.smaller(kept, torch.arange(CHANNELS), own))
    x = torch.randn(2, 9, CHANNELS)
    with torch.inference_mode():
        assert_close(small(x, None)[0], module(x, None)[0][:, :, kept], "float32", "kept units")


def check_joined(kind: Kind) -> None:
    """x W_x + h W_h + b of `joined` are the sums of the cell, and `separated` is its inverse."""
    spec = kind.spec(5)
    layer = spec.network.layers[0]
    own = spec.network.own(layer, normal_weights(spec))
    rng = np.random.default_rng(0)
    x = rng.normal(size=CHANNELS)
    h = rng.normal(size=5)
    kept = []

    class Sums(type(NUMPY)):  # type: ignore[misc]
        def sums(self, value: Any) -> Any:
            kept.append(value)
            return value

    layer.cell(Sums(), lambda name, v: v @ own[name], own, x, {"h": h})
    W_x, W_h, b = layer.joined(NUMPY, own)
    assert_close(x @ W_x + h @ W_h + b, kept[0], "float32", "sums")
    for name, matrix in layer.separated(NUMPY, W_x, W_h).items():
        assert_close(matrix, own[name], "exact", name)


def _calibration(spec: rt.ModelSpec, weights: Weights, steps: int = 1500) -> dict[str, Array]:
    rows = feature_rows(spec, steps, seed=7)
    backend = open_any("numpy", spec, weights)
    states: dict[str, list[Array]] = {name: [] for name in spec.network.state}
    for row in rows:
        for name, array in backend.state.items():
            states[name].append(array)
        backend.step(row)
    return {"x": rows, **{name: np.stack(parts) for name, parts in states.items()}}


def check_cpu_int8(kind: Kind, limit: float) -> None:
    """Rounded weights and steps, as the int8 kernel takes them, still make a good net.

    The weights are other than plainly rounded ones, and no worse.
    """
    spec = kind.spec(16, 12)
    weights = normal_weights(spec)
    arrays = cpu_int8.quantize(spec, weights, _calibration(spec, weights))
    rounded, steps = read_int8(spec, arrays)
    assert (steps > 0).all()
    rows = feature_rows(spec, 300, seed=9)
    exact = open_any("reference", spec, weights).run(rows)
    found = open_any("reference", spec, {**weights, **rounded}).run(rows)
    plain = {
        name: _plainly_rounded(array) if name in rounded and array.ndim == 2 else array
        for name, array in weights.items()
    }
    error = nrmse(found, exact)
    assert 0 < error < limit
    assert error < 1.2 * nrmse(open_any("reference", spec, plain).run(rows), exact)


def _plainly_rounded(W: Array) -> Array:
    step = np.abs(W).max(axis=0) / 127
    rounded: Array = (np.rint(W / step) * step).astype(np.float32)
    return rounded


def check_npu_int8(kind: Kind, limit: float) -> None:
    """The packed graph by ONNX Runtime is the emulation if its int8 tensors are rounded alike.

    The emulation is near the exact net.
    """
    spec = kind.spec(16, 12)
    weights = normal_weights(spec)
    calibration = _calibration(spec, weights)
    products = npu_int8.quantize(spec, weights, calibration)
    rows = feature_rows(spec, 300, seed=9)
    exact = open_any("reference", spec, weights).run(rows)
    found = npu_int8.emulate(spec, weights, [products], rows[None])[0, 0]
    assert 0 < nrmse(found, exact) < limit


def check_refused(kind: Kind, field: str, value: Any, expected: str) -> None:
    spec = kind.spec(5)
    values = spec.to_dict()
    wrong = {**values["network"][0], field: value}
    with pytest.raises(rt.BundleError) as refused:
        rt.ModelSpec.from_dict({**values, "network": [wrong, *values["network"][1:]]})
    assert str(refused.value) == expected
