"""Rockchip's NPU on the board, through rknn-toolkit-lite2.

The converter's simulator runs the same adapter.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ... import log
from ...errors import BackendError, BackendUnavailableError, BundleError
from ..artifacts import pick_artifact
from ..base import CLOSED, Backend, Facts, State, check_state
from ..chunks import any_length
from .packing import Packing

if TYPE_CHECKING:
    from ...model.bundle import Bundle

KIND = "rknn"  # of the artifacts that it runs
FACTS = Facts(
    "the artifact's",
    runs_on="device",
    needs="a Rockchip board with the NPU driver and librknnrt.so; "
    "run there: pip install rknn-toolkit-lite2",
    artifact=KIND,
    libraries=(
        "rknnlite",
        "/usr/lib/librknnrt.so",
        "/sys/kernel/debug/rknpu/version",
        "/proc/rknpu/version",
    ),
    variables=("EDGE_LSTM_NPU_CORES",),
    # The driver is reached by /dev/dri, an older one by /dev/rknpu (docs/board.md).
    devices=("char-drm", "/dev/rknpu"),
)
OLDEST_DRIVER = (0, 9, 2)  # Rockchip's "RKNN SDK User Guide" 2.3.0, section 2.2.1
_SOC_FILE = Path("/proc/device-tree/compatible")


class Runtime(Protocol):
    """The methods that RKNNLite (on the board) and RKNN (the simulator) have in common."""

    def inference(self, inputs: Sequence[NDArray[np.float32]]) -> list[NDArray[Any]] | None: ...

    def release(self) -> Any: ...


class RknnBackend(Backend):
    """Carries the state through a converted graph.

    The toolkits quantize and dequantize float32 themselves.
    """

    name = "rknn"

    def __init__(self, runtime: Runtime, packing: Packing):
        self._runtime: Runtime | None = runtime
        self._packing = packing

    def reset(self) -> None:
        self._packing.reset()

    def step(self, features: NDArray[Any]) -> NDArray[Any]:
        answer: NDArray[Any] = self.run(features[None])[0]
        return answer

    def run(self, features: NDArray[Any]) -> NDArray[Any]:
        """features: (steps, F) -> outputs: (steps, O).

        Raises BackendError unless `steps` is a multiple of those that the graph takes at once.
        """
        at_once = self._packing.steps
        if not len(features) and at_once == 1:
            return self._no_outputs(features)
        if len(features) % at_once:
            raise BackendError(
                f"this converted model takes {at_once} steps at once, and {len(features)} came"
            )
        return np.concatenate(
            [self._infer(features[n : n + at_once]) for n in range(0, len(features), at_once)]
        )

    def _infer(self, features: NDArray[Any]) -> NDArray[np.float32]:
        if self._runtime is None:
            raise BackendError(CLOSED)
        self._packing.put(features[0] if self._packing.steps == 1 else features)
        try:
            outputs = self._runtime.inference(inputs=self._packing.inputs)
        except Exception as e:  # the vendor's library may raise anything
            raise BackendError(f"the NPU runtime failed in this step: {e}") from e
        if outputs is None:  # the toolkit logs its reason and returns None
            raise BackendError(
                "the NPU runtime returned no result for this step; its own message is above"
            )
        try:
            return self._packing.take(outputs)
        except ValueError as e:
            raise BackendError(
                f"the NPU runtime returned something else than this model's outputs: {e}"
            ) from e

    @property
    def state(self) -> State:
        return self._packing.state

    @state.setter
    def state(self, value: State) -> None:
        shapes = {name: array.shape for name, array in self._packing.state.items()}
        self._packing.state = check_state(value, shapes)

    def close(self) -> None:
        if self._runtime is not None:
            self._runtime.release()
            self._runtime = None


def packing_of(bundle: Bundle, artifact: str) -> Packing:
    """Raises BundleError, naming the artifact and the key, for a recipe that can't be followed."""
    spec = bundle.spec
    io = bundle.manifest["artifacts"][artifact]["recipe"]["io"]
    try:
        return Packing(
            io,
            features=spec.inputs.feature_size,
            states=spec.network.state,
            initial=spec.network.initial_state(),
        )
    except BundleError as e:
        raise BundleError(f"the manifest's entry for {artifact}: {e}; export it again") from e


def open_backend(bundle: Bundle, *, artifact: str | None = None) -> Backend:
    import tempfile

    artifact, entry = pick_artifact(bundle, KIND, artifact)
    packing = packing_of(bundle, artifact)
    try:
        from rknnlite.api import RKNNLite
    except ImportError as e:
        raise BackendUnavailableError(
            "backend 'rknn' needs rknn-toolkit-lite2 on an aarch64 Rockchip board; "
            "run there: pip install rknn-toolkit-lite2"
        ) from e
    soc = (
        _SOC_FILE.read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        if _SOC_FILE.exists()
        else ""
    )
    if "rockchip," in soc and entry["target"] not in soc:
        raise BackendUnavailableError(
            f"{artifact} is for {entry['target']} and this board is {soc}; "
            "export with its own --target"
        )
    runtime = RKNNLite(verbose=False)
    with tempfile.NamedTemporaryFile(suffix=".rknn") as file:  # load_rknn takes a path only
        file.write(bundle.member(artifact))
        file.flush()
        loaded = runtime.load_rknn(file.name)
    if loaded != 0 or runtime.init_runtime(core_mask=_core_mask(RKNNLite)) != 0:
        runtime.release()
        raise BackendUnavailableError(
            f"the NPU did not take {artifact} (its message is above): is this an {entry['target']} "
            "board with the NPU driver, and librknnrt.so in /usr/lib? "
            "The other backends work without it: --backend numpy"
        )
    if mismatch := version_mismatch(entry.get("compiler"), runtime.get_sdk_version()):
        log.warning("%s: %s", artifact, mismatch)
    _heed_failed_runs(runtime)
    return any_length(RknnBackend(runtime, packing), packing.steps, bundle.spec, bundle.weights)


def _core_mask(lite: Any) -> int:
    """The mask for EDGE_LSTM_NPU_CORES: auto (the default), 0, 1, 2, 0_1, 0_1_2 or all.

    With auto, the driver chooses. The fused LSTM operator runs on one core, so choosing a core only
    helps if several models run side by side. Raises BackendError for another value.
    """
    wanted = os.environ.get("EDGE_LSTM_NPU_CORES") or "auto"
    mask = getattr(lite, f"NPU_CORE_{wanted.upper()}", None)
    if mask is None:
        known = sorted(
            name.removeprefix("NPU_CORE_").lower()
            for name in vars(lite)
            if name.startswith("NPU_CORE_")
        )
        raise BackendError(f"EDGE_LSTM_NPU_CORES is {wanted!r}; expected one of {', '.join(known)}")
    return int(mask)


def version_mismatch(compiler: str | None, board: str | None) -> str | None:
    """A sentence if the board's software doesn't fit the model's compiler or is too old, else None.

    compiler: the artifact's, such as "2.5.0". board: the text of RKNNLite.get_sdk_version, with the
    lines "API: 2.5.0 (...)" and "DRV: 0.9.8".
    """
    api = re.search(r"API:\s*(\d+)\.(\d+)\S*", board or "")
    driver = re.search(r"DRV:\s*(?:rknn_server:)?\s*(\d+)\.(\d+)\.(\d+)", board or "")
    driver_text = f", driver {'.'.join(driver.groups())}" if driver else ""
    if compiler and api and compiler.split(".")[:2] != list(api.groups()):
        found = api[0].removeprefix("API:").strip()
        return (
            f"built by rknn-toolkit2 {compiler}, and the board's librknnrt.so is "
            f"{found}{driver_text}: "
            f"put the librknnrt.so of {compiler} on the board, or its answers may be wrong"
        )
    if driver and tuple(map(int, driver.groups())) < OLDEST_DRIVER:
        oldest = ".".join(map(str, OLDEST_DRIVER))
        return (
            f"the NPU driver of this board is {'.'.join(driver.groups())}; "
            f"Rockchip advises {oldest} or later, in a newer kernel"
        )
    return None


def _heed_failed_runs(lite: Any) -> None:
    """Make RKNNLite.inference return None if its run fails.

    Version 2.5.0 drops the return code of the run and returns whatever is in the outputs.
    """
    inner: Any = getattr(lite, "rknn_runtime", None)
    run = getattr(inner, "run", None)
    if run is None:  # another version may be built differently
        return

    def checked(*arguments: Any) -> Any:
        result = run(*arguments)
        code = result[0] if isinstance(result, tuple) else result
        if code not in (0, None):
            raise RuntimeError(f"the NPU's run failed with code {code}")  # inference logs it
        return result

    inner.run = checked
