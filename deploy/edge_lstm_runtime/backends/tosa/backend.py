"""The backend "tosa": a converted model's integer program, on NumPy.

It answers as the program's NPU should, on any CPU. The state is carried in integers.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BundleError
from ..artifacts import pick_artifact
from ..base import Backend, Facts, State, check_state, checked_streams
from .call import Array, Tensor, limits
from .program import Program, unpack

if TYPE_CHECKING:
    from ...model.bundle import Bundle
    from ...model.spec import ModelSpec

KIND = "tosa"  # of the artifacts that it runs
FACTS = Facts("the artifact's", runs_on="simulator", artifact=KIND)


@dataclasses.dataclass(frozen=True)
class Edge:
    """Where a tensor meets floating point: value = scale (integer - zero_point).

    scale: (size,) or ().
    """

    tensor: Tensor
    scale: NDArray[np.float64]
    zero_point: int

    @property
    def size(self) -> int:
        return math.prod(self.tensor.shape)

    def integers(self, values: NDArray[Any]) -> Array:
        """(N, size) -> (N, *shape): the nearest integers that the type has."""
        nearest = np.rint(np.asarray(values, np.float64) / self.scale) + self.zero_point
        whole = np.clip(nearest, *limits(self.tensor.dtype)).astype(np.int64)
        return whole.reshape(len(values), *self.tensor.shape)

    def values(self, integers: Array) -> NDArray[np.float32]:
        """(N, *shape) -> (N, size)."""
        exact = (integers.reshape(len(integers), self.size) - self.zero_point) * self.scale
        return exact.astype(np.float32)


class TosaBackend(Backend):
    """features (F,) -> outputs (O,), with `streams` (N, F) -> (N, O).

    Raises BundleError, with `title`, for edges that don't fit the program or the network.
    """

    name = "tosa"

    def __init__(
        self,
        spec: ModelSpec,
        program: Mapping[str, Any],
        constants: Mapping[str, NDArray[Any]],
        *,
        streams: int | None = None,
        title: str = "the program",
    ):
        run = Program(program, constants, title)
        self._run: Callable[[list[Array]], list[Array]] = run.run
        names = list(spec.network.state)
        sizes = dict(spec.network.state)
        try:
            if not len(run.inputs) == len(run.outputs) == 1 + len(names):
                raise ValueError(f"{len(run.inputs)} inputs and {len(run.outputs)} outputs")
            edge = {
                name: _edge(program["edges"], name, run.tensors[tensor])
                for name, tensor in zip(["x", *names], run.inputs, strict=True)
            }
            self._y = _edge(program["edges"], "y", run.tensors[run.outputs[0]])
            for name, tensor in zip(names, run.outputs[1:], strict=True):
                after = run.tensors[tensor]
                before = edge[name].tensor
                if (after.shape, after.dtype) != (before.shape, before.dtype):
                    raise ValueError(
                        f"{name} goes in as {before.dtype}{before.shape} "
                        f"and comes out as {after.dtype}{after.shape}"
                    )
            found = {name: one.size for name, one in edge.items()}
            expected = {"x": spec.inputs.feature_size, **sizes}
            if found != expected:
                raise ValueError(f"the sizes are {found}; expected {expected}")
        except (KeyError, TypeError, ValueError, AttributeError) as e:
            words = f"{e} is missing" if isinstance(e, KeyError) else e
            raise BundleError(f"{title} does not fit the bundle's network: {words}") from e
        self._x = edge.pop("x")
        self._edges = edge
        self._streams = streams
        self._initial = {
            name: np.tile(array, (streams or 1, 1))
            for name, array in spec.network.initial_state().items()
        }
        self.reset()

    def reset(self) -> None:
        self._state = {n: edge.integers(self._initial[n]) for n, edge in self._edges.items()}

    def reset_streams(self, streams: Sequence[int]) -> None:
        chosen = checked_streams(streams, self._streams or 1)
        for name, edge in self._edges.items():
            self._state[name] = self._state[name].copy()
            self._state[name][chosen] = edge.integers(self._initial[name][chosen])

    def step(self, features: NDArray[Any]) -> NDArray[Any]:
        x = self._x.integers(features if self._streams else features[None])
        y, *states = self._run([x, *self._state.values()])
        self._state = dict(zip(self._state, states, strict=True))
        outputs = self._y.values(y)
        return outputs if self._streams else outputs[0]

    @property
    def state(self) -> State:
        found = {name: edge.values(self._state[name]) for name, edge in self._edges.items()}
        return found if self._streams else {name: array[0] for name, array in found.items()}

    @state.setter
    def state(self, value: State) -> None:
        front = (self._streams,) if self._streams else ()
        shapes = {name: (*front, edge.size) for name, edge in self._edges.items()}
        checked = check_state(value, shapes)
        rows = self._streams or 1
        self._state = {
            name: edge.integers(checked[name].reshape(rows, edge.size))
            for name, edge in self._edges.items()
        }


def _edge(edges: Mapping[str, Any], name: str, tensor: Tensor) -> Edge:
    scale, zero_point = edges[name]["scale"], edges[name]["zero_point"]
    if type(scale) is not float or not 0 < scale < math.inf:
        raise ValueError(f"the scale of {name} is {scale!r}; expected a number above 0")
    least, most = limits(tensor.dtype)
    if type(zero_point) is not int or not least <= zero_point <= most:
        raise ValueError(f"the zero_point of {name} is {zero_point!r}; expected one of the type")
    columns = edges[name].get("columns", [1.0])
    shape = (len(columns),)
    if shape not in ((1,), (math.prod(tensor.shape),)) or not all(
        type(one) is float and 0 < one < math.inf for one in columns
    ):
        raise ValueError(f"the columns of {name} are not {math.prod(tensor.shape)} numbers above 0")
    return Edge(tensor, scale * np.array(columns), zero_point)


def open_backend(bundle: Bundle, *, artifact: str | None = None) -> TosaBackend:
    return _open(bundle, None, artifact)


def open_streams(bundle: Bundle, streams: int, *, artifact: str | None = None) -> TosaBackend:
    return _open(bundle, streams, artifact)


def _open(bundle: Bundle, streams: int | None, artifact: str | None) -> TosaBackend:
    member, _ = pick_artifact(bundle, KIND, artifact)
    program, constants = unpack(bundle.member(member), member)
    return TosaBackend(bundle.spec, program, constants, streams=streams, title=member)
