"""An Ethos-U under Linux: Vela's .tflite in LiteRT, by NXP's delegate.

The artifact is the integer program (../tosa), which has the scales, and answers as the NPU should.
The .tflite is beside it in the bundle. Its one operator is the NPU's. The states are carried here,
as integers, so one interpreter serves any number of streams.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BackendError, BackendUnavailableError, BundleError, ConfigError
from ...shown import in_a_line
from ..artifacts import pick_artifact
from ..base import CLOSED, Facts
from ..tosa.backend import KIND, TosaBackend
from ..tosa.call import Array
from ..tosa.program import unpack

if TYPE_CHECKING:
    from ...model.bundle import Bundle
    from ...model.spec import ModelSpec

# The names that NXP's kernel module and its delegate have (README of tflite-ethosu-delegate-imx).
DEVICE = "/dev/ethosu0"
DELEGATE = "/usr/lib/libethosu_delegate.so"
UNITS = "EDGE_LSTM_ETHOSU_UNITS"  # the difference that the self-check allows, instead of 1
SELF_CHECK = 32  # golden samples
FACTS = Facts(
    "the artifact's",
    runs_on="device",
    needs=f"an NXP i.MX 93 with {DEVICE}, libethosu_delegate.so and LiteRT: its image's own, or "
    "run there: pip install ai-edge-litert",
    artifact=KIND,
    libraries=("ai_edge_litert", "tflite_runtime", DELEGATE),
    variables=("EDGE_LSTM_ETHOSU_DELEGATE", "EDGE_LSTM_ETHOSU_DEVICE", UNITS),
    devices=(DEVICE,),
)
_SOC_FILE = Path("/proc/device-tree/compatible")
_TARGETS = {"fsl,imx93": ("ethos-u65-256", "imx93")}  # the NPU, and the board itself


@dataclasses.dataclass(frozen=True)
class _Place:
    """A tensor in LiteRT. Its shape there has more dimensions of 1 than its own, the program's."""

    index: int
    dtype: str
    shape: tuple[int, ...]
    own: tuple[int, ...]


class Npu:
    """The .tflite on the NPU. program: what it was compiled from. title: its member.

    Raises BackendUnavailableError if the NPU can't be reached, BundleError for another program's.
    """

    def __init__(self, model: bytes, program: Mapping[str, Any], title: str):
        import ctypes

        interpreter, load_delegate = _litert()
        device = os.environ.get("EDGE_LSTM_ETHOSU_DEVICE") or DEVICE
        library = os.environ.get("EDGE_LSTM_ETHOSU_DELEGATE") or DELEGATE
        if not Path(device).exists():
            raise BackendUnavailableError(
                f"this machine has no {device}: is it an i.MX 93, and is the module ethosu loaded? "
                "The other backends work without it: --backend numpy"
            )
        try:
            # LiteRT prints a traceback besides, if it finds this itself.
            if not hasattr(ctypes.CDLL(library), "tflite_plugin_create_delegate"):
                raise ValueError("it is no delegate")
            delegate = load_delegate(library, {"device_name": device})
            self._interpreter = interpreter(model_content=model, experimental_delegates=[delegate])
            self._interpreter.allocate_tensors()
        except (OSError, ValueError, RuntimeError) as e:
            raise BackendUnavailableError(
                f"the NPU did not take {title} with {library}: {_words(e) or 'no reason given'}"
            ) from e
        inputs = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        try:
            self._inputs = _places(inputs, program, "inputs")
            self._outputs = _places(outputs, program, "outputs")
        except (KeyError, TypeError, ValueError) as e:
            raise BundleError(f"{title} is not of the bundle's integer program: {e}") from e

    def run(self, arrays: list[Array]) -> list[Array]:
        """(N, *shape) for each input of the program -> the same for each output."""
        call = self._interpreter
        streams = []
        try:
            for row in zip(*arrays, strict=True):
                for p, array in zip(self._inputs, row, strict=True):
                    call.set_tensor(p.index, array.astype(p.dtype).reshape(p.shape))
                call.invoke()
                streams.append([call.get_tensor(p.index).reshape(p.own) for p in self._outputs])
        except (ValueError, RuntimeError) as e:
            raise BackendError(f"the NPU failed in this step: {_words(e)}") from e
        return [np.stack(parts).astype(np.int64) for parts in zip(*streams, strict=True)]


class EthosUBackend(TosaBackend):
    """The edges and the states of the program, and its operators on the NPU."""

    name = "ethosu"

    def __init__(
        self,
        spec: ModelSpec,
        program: Mapping[str, Any],
        constants: Mapping[str, NDArray[Any]],
        npu: Npu,
        *,
        streams: int | None = None,
        title: str = "the program",
    ):
        super().__init__(spec, program, constants, streams=streams, title=title)
        self._expected = self._run
        self._run = npu.run

    def check(self, features: NDArray[Any]) -> None:
        """Compare the NPU with the program, which is dropped then. features: (steps, F).

        Each step begins at the program's states, so that differences don't grow. Raises
        BackendError if an integer differs by more than 1, or by more than the variable says.
        """
        most = _units()
        names = ["y", *self._edges]
        states = [array[:1] for array in self._state.values()]
        for n, row in enumerate(features):
            inputs = [self._x.integers(row[None]), *states]
            found = self._run(inputs)
            expected = self._expected(inputs)
            states = expected[1:]
            for name, ours, right in zip(names, found, expected, strict=True):
                off = int(np.abs(ours - right).max())
                if off > most:
                    raise BackendError(
                        f"the NPU gives wrong answers here: {name} of golden sample {n} is off by "
                        f"{off} units of its integers, at most {most} is right ({UNITS} sets it); "
                        "use --backend auto"
                    )
        del self._expected

    def close(self) -> None:
        self._run = _closed


def _closed(_: list[Array]) -> list[Array]:
    raise BackendError(CLOSED)


def _places(details: list[dict[str, Any]], program: Mapping[str, Any], side: str) -> list[_Place]:
    """LiteRT's tensors in the program's order. Vela keeps their names, and no order."""
    known = {d["name"]: d for d in details}
    tensors = {name: program["tensors"][name] for name in program[side]}
    found = {n: (np.dtype(d["dtype"]).name, int(np.prod(d["shape"]))) for n, d in known.items()}
    expected = {n: (t["dtype"], int(np.prod(t["shape"]))) for n, t in tensors.items()}
    if found != expected:
        raise ValueError(f"its {side} are {found}; expected {expected}")
    return [
        _Place(known[n]["index"], found[n][0], tuple(known[n]["shape"]), tuple(t["shape"]))
        for n, t in tensors.items()
    ]


def _litert() -> tuple[Any, Any]:
    """Interpreter and load_delegate, by the name that the package has now, or had before."""
    try:
        try:
            from ai_edge_litert import interpreter as litert
        except ImportError:
            from tflite_runtime import interpreter as litert
    except ImportError as e:
        raise BackendUnavailableError(
            "backend 'ethosu' needs LiteRT on an NXP i.MX 93; take that of the board's image, or "
            "run there: pip install ai-edge-litert"
        ) from e
    return litert.Interpreter, litert.load_delegate


def _units() -> int:
    text = os.environ.get(UNITS) or "1"
    if not text.isdecimal():
        raise ConfigError(f"{UNITS} is {text!r}; expected a whole number from 0")
    return int(text)


def _words(error: Exception) -> str:
    return in_a_line(" ".join(str(error).split()))


def _beside(bundle: Bundle, member: str, target: str) -> str:
    """The name of the .tflite beside the program, if it is there and for this board."""
    soc = _SOC_FILE.read_text("utf-8", "replace") if _SOC_FILE.exists() else ""
    for chip, own in _TARGETS.items():
        if chip in soc and target not in own:
            raise BackendUnavailableError(
                f"{member} is for {target} and this board has an {own[0]}; export with its --target"
            )
    name = member.removesuffix(KIND) + "tflite"
    if name not in bundle.members:
        raise BackendUnavailableError(
            f"the bundle has no {name}; export it on Linux x86-64 with --target {target}"
        )
    return name


def open_backend(bundle: Bundle, *, artifact: str | None = None) -> EthosUBackend:
    return _open(bundle, None, artifact)


def open_streams(bundle: Bundle, streams: int, *, artifact: str | None = None) -> EthosUBackend:
    return _open(bundle, streams, artifact)


def _open(bundle: Bundle, streams: int | None, artifact: str | None) -> EthosUBackend:
    member, entry = pick_artifact(bundle, KIND, artifact)
    beside = _beside(bundle, member, entry["target"])
    program, constants = unpack(bundle.member(member), member)
    npu = Npu(bundle.member(beside), program, beside)
    backend = EthosUBackend(bundle.spec, program, constants, npu, streams=streams, title=member)
    backend.check(bundle.spec.features(bundle.golden[0][:SELF_CHECK]))
    return backend
