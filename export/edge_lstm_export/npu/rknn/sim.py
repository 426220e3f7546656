"""The backend "rknn-sim": the converter's simulator on the desktop.

A converted file can't be simulated, because rknn-toolkit2 refuses it. So the model is built again
from the graph and the calibration set that the bundle carries.
"""

from __future__ import annotations

from edge_lstm_runtime import (
    Backend,
    BackendUnavailableError,
    Bundle,
    Facts,
    MissingDependencyError,
)
from edge_lstm_runtime.backends.artifacts import pick_artifact
from edge_lstm_runtime.backends.rknn.board import KIND, packing_of

from .environment import ENVIRONMENT

FACTS = Facts(
    "the artifact's",
    runs_on="simulator",
    needs='Linux x86-64, and edge-lstm with its extra "export"',
    artifact=KIND,
    desktop="its calibration set",
)


def open_backend(bundle: Bundle, *, artifact: str | None = None) -> Backend:
    artifact, entry = pick_artifact(bundle, KIND, artifact)
    if reason := ENVIRONMENT.unsupported_reason():
        raise BackendUnavailableError(f"backend 'rknn-sim' can't run here: {reason}")
    packing_of(bundle, artifact)  # here, because the converter's process could not say it as well
    try:
        from .conversion import Conversion  # which imports onnx
        from .converter import Converter

        conversion = Conversion(
            bundle.spec,
            bundle.member(entry["graph"]),
            entry["recipe"],
            entry["target"],
            entry["scheme"],
            {} if bundle.spec.network.opaque else bundle.arrays("calibration.npz"),
        )
        return Converter(conversion).backend(bundle.weights)
    except ModuleNotFoundError as e:
        raise BackendUnavailableError(str(MissingDependencyError(str(e.name), "export"))) from e
    except MissingDependencyError as e:
        raise BackendUnavailableError(str(e)) from e
