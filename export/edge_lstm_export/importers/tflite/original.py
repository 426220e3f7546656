"""LiteRT's interpreter over a stream."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib.metadata
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.errors import ConversionError

from .. import Float32, Floats
from .._elements import Ids, step_of, unique_sources, unit_of
from .._parts import Part, X
from .._proof import SINGLE
from .file import TYPES
from .walk import Walk
from .window import Cut, windows
from .written import as_it_is, stepwise

COMPARED = 300  # steps of the file as it is, beside the graph of one step
PACKAGE = "ai-edge-litert"


@dataclasses.dataclass(frozen=True)
class Answers:
    """The first output of a call.

    order    (P, n) the places of each step's values in the flat tensor
    steps    (P,) the steps that it is of
    columns  (n,) their origins, of step 0
    """

    tensor: int
    order: NDArray[np.int64]
    steps: Ids
    columns: Ids


class LiteRT:
    """An `Original`. LiteRT runs the graph of one step in float32, which tells all layers' outputs.

    It runs the file as it is too. If that is in float32, it must answer the same. Else the
    difference is measured.

    taps: layer -> what it was made of
    cut: where the graph of one step ends, and one of windows begins
    """

    double = False

    def __init__(self, walk: Walk, taps: Mapping[str, Part], answers: Answers, cut: Cut) -> None:
        self._walk = walk
        self._cut = cut
        self._answers = answers
        self._compared = False
        self._largest = dict.fromkeys(walk.clips, 0.0)
        self._units = {
            name: (int(part.tensor), _units(part, walk.steps))
            for name, part in taps.items()
            if part.tensor
        }
        self._names = {part.source: name for name, part in taps.items() if part.tensor}
        self._last = next(reversed(self._units))
        self.quantized = any(tensor.quantized for tensor in walk.graph.tensors)
        version = importlib.metadata.version(PACKAGE)
        self.tool = f"LiteRT {version}{', dequantized' if self.quantized else ''}"

    def run(self, xs: Float32) -> dict[str, Floats]:
        """As `Original.run`. Raises ConversionError if LiteRT refuses the graph."""
        with _refused():
            found = self._run(xs)
            if not (self._compared or self.quantized):
                self._compare(xs, found[self._last])
        self._compared = True
        return found

    def measured(self, xs: Float32) -> tuple[str, ...]:
        """What clips, and how far the file as it is is from this. xs: (T, F) -> sentences."""
        clipped = tuple(
            f"The file clips the cell state of {name!r} at {clip:g}. Here it is not clipped, and "
            f"reaches {self._largest[place]:.3g} with the samples"
            for place, (name, clip) in self._walk.clips.items()
        )
        return clipped + (self._difference(xs) if self.quantized else ())

    def _difference(self, xs: Float32) -> tuple[str, ...]:
        right = self.run(xs)[self._last]
        with _refused():
            steps, found = self._whole(xs)
        first = "The weights of the file are whole numbers. Here they are dequantized, in float32"
        if not len(steps):
            return (first,)
        right = right[steps]
        scale = max(float(np.std(right)), 1e-30)
        nrmse = float(np.sqrt(np.mean((found - right) ** 2))) / scale
        return (
            f"{first}. The file as it is, in LiteRT, differs by NRMSE {nrmse:.2g} over the "
            f"{len(xs):,} samples",
        )

    @functools.cached_property
    def _stepped(self) -> list[str]:
        """The layers that the graph of one step tells."""
        return [n for n, (place, _) in self._units.items() if place not in self._cut.outputs]

    @functools.cached_property
    def _step(self) -> tuple[Any, dict[int, int]]:
        walk = self._walk
        places = [self._units[name][0] for name in self._stepped]
        content, states = stepwise(walk, self._cut.before, walk.graph.inputs[0], places)
        return _interpreter(content), states

    def _run(self, xs: Float32) -> dict[str, Floats]:
        net, states = self._step
        net.reset_all_variables()
        found = self._empty(self._stepped, len(xs))
        for k, x in enumerate(xs):
            self._invoke(net, x, found, k)
            for state, (name, clip) in self._walk.clips.items():
                reached = float(np.abs(net.get_tensor(states[state])).max())
                self._largest[state] = max(self._largest[state], reached)
                if reached >= clip:
                    raise ConversionError(
                        f"{name!r} clips its cell state at {clip:g}, and reaches that at step {k} "
                        "of the samples: there is no layer for it. Are these samples what the net "
                        "was trained with?"
                    )
        return found | self._run_windows(xs, found)

    @functools.cached_property
    def _window(self) -> Any:
        assert self._cut.tensor is not None
        places = [self._units[name][0] for name in self._units if name not in self._stepped]
        content, _ = stepwise(self._walk, self._cut.after, self._cut.tensor, places, window=True)
        return _interpreter(content)

    def _run_windows(self, xs: Float32, before: Mapping[str, Floats]) -> dict[str, Floats]:
        """What is computed from the last steps together, at each step. Zeros stand before them."""
        if self._cut.tensor is None:
            return {}
        ids = self._walk.ids[self._cut.tensor]
        sources = unique_sources(ids)
        values = {s: xs if s == X else before[self._names[s]] for s in sources}
        found = self._empty([name for name in self._units if name not in self._stepped], len(xs))
        for k, window in enumerate(windows(ids, self._walk.steps, values)):
            self._invoke(self._window, window, found, k)
        return found

    def _empty(self, names: list[str], steps: int) -> dict[str, Floats]:
        return {name: np.empty((steps, len(self._units[name][1])), np.float32) for name in names}

    def _invoke(self, net: Any, x: Floats, found: Mapping[str, Floats], k: int) -> None:
        """One call of a graph, whose outputs are row k of these layers' outputs."""
        (entry,) = net.get_input_details()
        net.set_tensor(entry["index"], x.reshape(entry["shape"]))
        net.invoke()
        for detail, name in zip(net.get_output_details(), found, strict=True):
            found[name][k, self._units[name][1]] = net.get_tensor(detail["index"]).ravel()

    def _whole(self, xs: Float32) -> tuple[NDArray[np.int64], Floats]:
        """The steps that the file as it is answers at, and (n, O) its answers. Whole calls only."""
        walk = self._walk
        net = _interpreter(as_it_is(walk.graph))
        net.reset_all_variables()
        (entry,) = net.get_input_details()
        place = net.get_output_details()[0]["index"]
        x, y = (walk.tensor(at) for at in (walk.graph.inputs[0], self._answers.tensor))
        steps = []
        rows = []
        for start in range(0, len(xs) - walk.steps + 1, walk.steps):
            piece = _laid_out(walk, xs[start : start + walk.steps])
            if x.scale.size:
                low_high = np.iinfo(TYPES[x.type])
                whole = np.rint(piece / x.scale[0]) + x.zero[0]
                piece = np.clip(whole, low_high.min, low_high.max).astype(TYPES[x.type])
            net.set_tensor(entry["index"], piece)
            net.invoke()
            values = net.get_tensor(place).astype(np.float64)
            if y.scale.size:
                values = (values - y.zero[0]) * y.scale[0]
            steps.append(start + self._answers.steps)
            rows.append(values.ravel()[self._answers.order])
        if not steps:
            return np.zeros(0, np.int64), np.zeros((0, len(self._answers.columns)))
        return np.concatenate(steps), np.concatenate(rows)

    def _compare(self, xs: Float32, expected: Floats) -> None:
        """Raise ConversionError if the file as it is answers otherwise."""
        count = max(COMPARED, self._walk.steps)
        steps, found = self._whole(xs[:count])
        if not len(steps):
            return  # the samples are less than a call takes
        difference = float(np.abs(found - expected[steps]).max())
        if not difference <= SINGLE * max(1.0, float(np.abs(found).max())):
            raise ConversionError(
                f"the file as it is and its graph of one step differ by {difference:.2g} in "
                f"{self.tool}. Please report this net"
            )


def _units(part: Part, steps: int) -> NDArray[np.int64]:
    """The unit of each value of its tensor, as of one step."""
    flat = part.ids.ravel()
    return unit_of(flat[step_of(flat) == steps - 1])


def _laid_out(walk: Walk, piece: Float32) -> Float32:
    """x of a call, from rows of features."""
    shape = walk.tensor(walk.graph.inputs[0]).shape
    if walk.axis is None:
        return piece.reshape(shape)
    rest = [size for axis, size in enumerate(shape) if axis != walk.axis]
    return np.ascontiguousarray(np.moveaxis(piece.reshape(len(piece), *rest), 0, walk.axis))


def _interpreter(content: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    made = Interpreter(model_content=content, num_threads=1, experimental_op_resolver_type=plain)
    made.allocate_tensors()
    return made


@contextlib.contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except ConversionError:
        raise
    except Exception as e:  # its errors have no other base class
        why = (str(e).strip() or type(e).__name__).splitlines()[0]
        raise ConversionError(f"LiteRT does not take the net: {why}") from e
