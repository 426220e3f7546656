"""Small bundles, with answers of the reference in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import edge_lstm_runtime as rt
from edge_lstm_runtime.model.npz import write_npz
from helpers.arrays import Array, Weights
from helpers.specs import make_spec, samples
from helpers.weights import random_weights


def network_outputs(spec: rt.ModelSpec, weights: Weights, xs: Array) -> NDArray[np.float64]:
    outputs: NDArray[np.float64] = rt.Reference(spec, weights).run(spec.features(xs))
    return outputs


def members_of(
    spec: rt.ModelSpec, weights: Weights, *, steps: int = 40, form: str | None = None
) -> dict[str, bytes]:
    """golden.npz, and model.onnx in the given form."""
    xs = samples(spec, steps)
    members = {"golden.npz": write_npz({"x": xs, "y": network_outputs(spec, weights, xs)})}
    if form is not None:
        from edge_lstm_export.graphs.bundle import build

        members["model.onnx"] = build(spec, weights, form).SerializeToString(deterministic=True)
    return members


def make_bundle(
    path: Path,
    spec: rt.ModelSpec | None = None,
    *,
    seed: int = 0,
    steps: int = 40,
    form: str | None = None,
    **facts: Any,
) -> rt.Bundle:
    spec = spec or make_spec()
    weights = random_weights(spec, seed)
    return rt.write_bundle(
        path, spec, weights, members_of(spec, weights, steps=steps, form=form), **facts
    )


def artifact_entry(
    target: str = "rk3588", metric: str = "nrmse", limit: float = 2e-3
) -> dict[str, Any]:
    return {
        "kind": "rknn",
        "target": target,
        "tolerance": {"metric": metric, "limit": limit, "reason": "as the export found it"},
        "recipe": {"io": {"form": "cell"}},
    }


def make_npu_bundle(path: Path) -> rt.Bundle:
    """With a member that no NPU has made."""
    spec = make_spec()
    weights = random_weights(spec)
    name = "rk3588-fp16.rknn"
    members = {**members_of(spec, weights), name: b"RKNN"}
    return rt.write_bundle(path, spec, weights, members, artifacts={name: artifact_entry()})
