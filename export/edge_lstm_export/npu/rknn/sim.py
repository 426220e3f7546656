"""The backend "rknn-sim": the converter's simulator on the desktop.

A converted file can't be simulated, because rknn-toolkit2 refuses it. So the model is built again
from the graph and the calibration set that the bundle carries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime import (
    Backend,
    BackendUnavailableError,
    Bundle,
    Facts,
    MissingDependencyError,
)
from edge_lstm_runtime.backends.artifacts import pick_artifact
from edge_lstm_runtime.backends.base import State, check_state
from edge_lstm_runtime.backends.chunks import any_length
from edge_lstm_runtime.backends.rknn.board import KIND, packing_of

from . import environment

if TYPE_CHECKING:
    from .process import Converter

FACTS = Facts(
    "the artifact's",
    runs_on="simulator",
    needs='Linux x86-64, and edge-lstm with its extra "export"',
    artifact=KIND,
)


class SimulatorBackend(Backend):
    name = "rknn-sim"

    def __init__(self, converter: Converter):
        self._converter = converter

    def reset(self) -> None:
        self._converter.reset()

    def step(self, features: NDArray[Any]) -> NDArray[Any]:
        answer: NDArray[Any] = self.run(features[None])[0]
        return answer

    def run(self, features: NDArray[Any]) -> NDArray[Any]:
        return self._converter.run(features)

    @property
    def state(self) -> State:
        return self._converter.get_state()

    @state.setter
    def state(self, value: State) -> None:
        sizes = self._converter.spec.network.state
        self._converter.set_state(check_state(value, {name: (n,) for name, n in sizes.items()}))

    def close(self) -> None:
        self._converter.close()


def simulated(converter: Converter, weights: Mapping[str, NDArray[np.float32]]) -> Backend:
    """A converted model on its simulator, for any number of steps.

    weights: canonical, of the model that it was made from.
    """
    return any_length(SimulatorBackend(converter), converter.steps, converter.spec, weights)


def open_backend(bundle: Bundle, *, artifact: str | None = None) -> Backend:
    artifact, entry = pick_artifact(bundle, KIND, artifact)
    if reason := environment.unsupported_reason():
        raise BackendUnavailableError(f"backend 'rknn-sim' can't run here: {reason}")
    packing_of(bundle, artifact)  # here, because the converter's process could not say it as well
    try:
        from .conversion import Conversion  # which imports onnx
        from .process import Converter

        conversion = Conversion(
            bundle.spec,
            bundle.member(entry["graph"]),
            entry["recipe"],
            entry["target"],
            entry["scheme"],
            {} if bundle.spec.network.opaque else bundle.arrays("calibration.npz"),
        )
        converter = Converter(conversion)
    except ModuleNotFoundError as e:
        raise BackendUnavailableError(str(MissingDependencyError(str(e.name), "export"))) from e
    except MissingDependencyError as e:
        raise BackendUnavailableError(str(e)) from e
    return simulated(converter, bundle.weights)
