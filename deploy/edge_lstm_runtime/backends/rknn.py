"""Rockchip's NPU on the board, through rknn-toolkit-lite2; the converter's simulator runs the same adapter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError, BackendUnavailableError
from ..packing import Packing
from . import Backend, State, check_state

if TYPE_CHECKING:
    from ..bundle import Bundle

_SOC_FILE = Path("/proc/device-tree/compatible")


class Runtime(Protocol):
    """What RKNNLite (on the board) and RKNN (the converter, simulating) have in common."""

    def inference(self, inputs: Sequence[NDArray[np.float32]]) -> list[NDArray[Any]] | None: ...

    def release(self) -> Any: ...


class RknnBackend(Backend):
    """Carries the state through a converted graph. The toolkits quantise and dequantise float32 themselves."""

    name = "rknn"

    def __init__(self, runtime: Runtime, packing: Packing):
        self._runtime: Runtime | None = runtime
        self._packing = packing

    def reset(self) -> None:
        h, c = self._packing.state
        self._packing.state = np.zeros_like(h), np.zeros_like(c)

    def step(self, features: NDArray[Any]) -> NDArray[Any]:
        answer: NDArray[Any] = self.run(features[None])[0]
        return answer

    def run(self, features: NDArray[Any]) -> NDArray[Any]:
        """features: (steps, F); the steps a multiple of those that the graph takes at once."""
        at_once = self._packing.steps
        if len(features) % at_once:
            raise BackendError(f"this converted model takes {at_once} steps at once, and {len(features)} came")
        return np.concatenate([self._infer(features[n : n + at_once]) for n in range(0, len(features), at_once)])

    def _infer(self, features: NDArray[Any]) -> NDArray[np.float32]:
        if self._runtime is None:
            raise BackendError("this session is closed; open a new one")
        self._packing.put(features[0] if self._packing.steps == 1 else features)
        try:
            outputs = self._runtime.inference(inputs=self._packing.inputs)
        except Exception as e:  # whatever the vendor's library raises
            raise BackendError(f"the NPU runtime failed in this step: {e}") from e
        if outputs is None:  # the toolkit logs its reason and returns None
            raise BackendError("the NPU runtime returned no result for this step; its own message is above")
        try:
            return self._packing.take(outputs)
        except ValueError as e:
            raise BackendError(f"the NPU runtime returned something else than this model's outputs: {e}") from e

    @property
    def state(self) -> State:
        return self._packing.state

    @state.setter
    def state(self, value: State) -> None:
        self._packing.state = check_state(value, self._packing.state[0].shape)

    def close(self) -> None:
        if self._runtime is not None:
            self._runtime.release()
            self._runtime = None


def pick_artifact(bundle: Bundle, artifact: str | None) -> tuple[str, dict[str, Any]]:
    """The name and the manifest entry of the converted member to run; BackendUnavailableError where the bundle has none or several."""
    known = bundle.manifest.get("artifacts", {})
    if artifact is None:
        if not known:
            raise BackendUnavailableError("the bundle holds no converted model; export it on Linux x86-64 with --target and --scheme")
        if len(known) > 1:
            raise BackendUnavailableError(f"the bundle holds {', '.join(sorted(known))}; say which with --artifact")
        (artifact,) = known
    if artifact not in known:
        raise BackendUnavailableError(f"the bundle has no artifact {artifact!r}; it holds {', '.join(sorted(known)) or 'none'}")
    return artifact, known[artifact]


def packing_of(bundle: Bundle, artifact: str) -> Packing:
    spec, io = bundle.spec, bundle.manifest["artifacts"][artifact]["recipe"]["io"]
    return Packing(io, features=spec.feature_size, hidden=spec.hidden_size, layers=spec.num_layers)


def open_backend(bundle: Bundle, *, artifact: str | None = None) -> RknnBackend:
    import tempfile

    artifact, entry = pick_artifact(bundle, artifact)
    try:
        from rknnlite.api import RKNNLite
    except ImportError as e:
        raise BackendUnavailableError(
            "backend 'rknn' needs rknn-toolkit-lite2 on an aarch64 Rockchip board; run there: " + 'pip install "edge-lstm[npu]"'
        ) from e
    soc = _SOC_FILE.read_bytes().replace(b"\0", b" ").decode(errors="replace").strip() if _SOC_FILE.exists() else ""
    if "rockchip," in soc and entry["target"] not in soc:
        raise BackendUnavailableError(f"{artifact} is for {entry['target']} and this board is {soc}; export with its own --target")
    runtime = RKNNLite(verbose=False)
    with tempfile.NamedTemporaryFile(suffix=".rknn") as file:  # load_rknn takes a path only
        file.write(bundle.member(artifact))
        file.flush()
        loaded = runtime.load_rknn(file.name)
    if loaded != 0 or runtime.init_runtime(core_mask=RKNNLite.NPU_CORE_AUTO) != 0:
        runtime.release()
        raise BackendUnavailableError(
            f"the NPU did not take {artifact} (its message is above): is this an {entry['target']} board with the NPU driver, "
            "and librknnmrt.so in /usr/lib? The other backends work without it: --backend numpy"
        )
    return RknnBackend(runtime, packing_of(bundle, artifact))
