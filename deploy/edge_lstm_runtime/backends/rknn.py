"""Rockchip's NPU on the board, through rknn-toolkit-lite2; the converter's simulator runs the same adapter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError, BackendUnavailableError
from . import Backend, State, check_state

if TYPE_CHECKING:
    from ..bundle import Bundle

_SOC_FILE = Path("/proc/device-tree/compatible")


class Runtime(Protocol):
    """What RKNNLite (on the board) and RKNN (the converter, simulating) have in common."""

    def inference(self, inputs: Sequence[NDArray[np.float32]]) -> list[NDArray[Any]] | None: ...

    def release(self) -> Any: ...


class RknnBackend(Backend):
    """Carries the state through a converted cell graph: inputs x, h0, c0, h1, ... and outputs y, h0, c0, h1, ...

    Arrays are passed as (1, 1, 1, channels): the vendor's default layout is NHWC, and rknn-toolkit-lite2 raises a KeyError for
    the list of layouts that rknn-toolkit2 takes (its issue 344). The toolkits quantise and dequantise float32 themselves.
    """

    name = "rknn"

    def __init__(self, runtime: Runtime, *, features: int, hidden: int, layers: int):
        self._runtime: Runtime | None = runtime
        self._layers, self._hidden = layers, hidden
        self._x = np.zeros((1, 1, 1, features), np.float32)
        self.reset()

    def reset(self) -> None:
        self._states: list[NDArray[np.float32]] = [np.zeros((1, 1, 1, self._hidden), np.float32) for _ in range(2 * self._layers)]

    def step(self, features: NDArray[Any]) -> NDArray[Any]:
        if self._runtime is None:
            raise BackendError("this session is closed; open a new one")
        self._x[...] = features
        try:
            outputs = self._runtime.inference(inputs=[self._x, *self._states])
        except Exception as e:  # whatever the vendor's library raises
            raise BackendError(f"the NPU runtime failed in this step: {e}") from e
        if outputs is None or len(outputs) != 1 + len(self._states):  # the toolkit logs its reason and returns None
            raise BackendError("the NPU runtime returned no result for this step; its own message is above")
        # Copies: the runtime may write its next outputs into the same memory, where they are this step's inputs then.
        y, *states = (np.array(array, np.float32).reshape(1, 1, 1, -1) for array in outputs)
        if any(part.size != self._hidden for part in states):
            raise BackendError(f"the NPU runtime returned states of {[part.size for part in states]} values, expected {self._hidden} each")
        self._states = states
        return y.ravel()

    @property
    def state(self) -> State:
        parts = [array.ravel() for array in self._states]
        return np.stack(parts[0::2]), np.stack(parts[1::2])

    @state.setter
    def state(self, value: State) -> None:
        h, c = check_state(value, (self._layers, self._hidden))
        pairs = zip(h, c, strict=True)
        self._states = [part.astype(np.float32).reshape(1, 1, 1, -1) for pair in pairs for part in pair]

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
            "and librknnrt.so in /usr/lib? The other backends work without it: --backend numpy"
        )
    _heed_failed_runs(runtime)
    return RknnBackend(runtime, features=bundle.spec.feature_size, hidden=bundle.spec.hidden_size, layers=bundle.spec.num_layers)


def _heed_failed_runs(lite: Any) -> None:
    """RKNNLite.inference (2.5.0) drops the return code of its run and hands out whatever lies in the outputs; now it returns None."""
    inner: Any = getattr(lite, "rknn_runtime", None)
    run = getattr(inner, "run", None)
    if run is None:  # a version that is built in another way
        return

    def checked(*arguments: Any) -> Any:
        result = run(*arguments)
        code = result[0] if isinstance(result, tuple) else result
        if code not in (0, None):
            raise RuntimeError(f"the NPU's run failed with code {code}")  # inference logs it
        return result

    inner.run = checked
