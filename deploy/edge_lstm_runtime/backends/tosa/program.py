"""A program: integer operators in order, checked when it is opened, run for several streams.

An artifact is an .npz file: "program", its JSON as bytes, and the constants by their names. The
JSON has

    inputs, outputs  names of tensors: x, y, and then the states, in one order
    tensors          name -> {"shape": [...], "dtype": "int8", ...}
    operators        {"op", "inputs", "outputs", "attributes"} each, in the order of their run.
                     Names and attributes are those of TOSA's schema
    edges            "x", "y" and each state's name -> {"scale", "zero_point"}, of a state perhaps
                     "columns" too, what the scale is multiplied by, for each value
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BackendError, BundleError
from ...model.npz import read_npz, write_npz
from .call import BITS, Array, Call, Made, Run, Tensor, limits
from .operators import OPERATORS

PROGRAM = "program"  # the JSON in an artifact
MOST = 2**24  # values of a tensor of one stream
_NARROW = ("int8", "int16")
_TYPES = {"int48": "int64", "shape": "int64", "bool": "bool"}


@dataclasses.dataclass(frozen=True)
class Step:
    """An operator, bound: registers[output] = run(*(registers[i] for i in inputs))."""

    run: Run
    inputs: tuple[str, ...]
    output: str


@dataclasses.dataclass(frozen=True)
class _Known:
    """A tensor, and how it follows from one narrow tensor: root, and its value for each of its."""

    tensor: Tensor
    root: str = ""
    values: Array | None = None  # (1, count), for the root's low to high


def pack(program: Mapping[str, Any], constants: Mapping[str, NDArray[Any]]) -> bytes:
    """The bytes of an artifact."""
    text = np.frombuffer(json.dumps(program, sort_keys=True).encode(), np.uint8)
    return write_npz({**constants, PROGRAM: text})


def unpack(data: bytes, member: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The program and its constants. Raises BundleError, naming the member."""
    arrays = read_npz(data, member)
    try:
        program = json.loads(arrays.pop(PROGRAM).tobytes())
    except (KeyError, ValueError) as e:
        raise BundleError(f"{member} holds no program: {e}") from e
    return program, arrays


class Program:
    """A program that is ready to run.

    Raises BundleError, in one line with `title` and the operator, for one that can't be followed.
    """

    def __init__(
        self,
        program: Mapping[str, Any],
        constants: Mapping[str, NDArray[Any]],
        title: str = "the program",
    ):
        self._title = title
        self._known: dict[str, _Known] = {}
        self._steps: list[Step] = []
        self._unsigned: set[str] = set()
        try:
            self._open(program, constants)
        except BundleError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as e:
            words = f"{e} is missing" if isinstance(e, KeyError) else e
            raise BundleError(f"{title} is malformed: {words}") from e

    def _open(self, program: Mapping[str, Any], constants: Mapping[str, NDArray[Any]]) -> None:
        declared = {
            name: _declared(name, entry["shape"], entry["dtype"])
            for name, entry in program["tensors"].items()
        }
        self.inputs = _names(program["inputs"])
        self.outputs = _names(program["outputs"])
        for name, array in constants.items():
            tensor = declared.get(name) or _declared(name, list(array.shape), "shape")
            self._known[name] = _Known(_constant(name, tensor, array))
        for name in self.inputs:
            if name in self._known:
                raise ValueError(f"the input {name!r} is a constant, or stands there twice")
            self._known[name] = _Known(declared[name])
        for n, entry in enumerate(program["operators"]):
            op, where = str(entry["op"]), f"operator {n}"
            if op in ("CONST", "CONST_SHAPE"):
                continue
            if op not in OPERATORS:
                raise BundleError(
                    f"{self._title}: {where} is {op}, which this version doesn't know; "
                    f"it knows {', '.join(OPERATORS)}"
                )
            (output,) = entry["outputs"]
            try:
                self._add(op, _names(entry["inputs"]), declared[output], output, entry)
            except (ValueError, TypeError, KeyError, IndexError, BackendError) as e:
                words = f"{e} is missing" if isinstance(e, KeyError) else e
                raise BundleError(f"{self._title}: {where}, {op} {output!r}: {words}") from e
        for name in self.outputs:
            if self._known[name].tensor.constant is not None:
                raise ValueError(f"the output {name!r} is a constant")
        self.tensors = {n: self._known[n].tensor for n in (*self.inputs, *self.outputs)}
        self._steps = self._needed()
        used = {name for step in self._steps for name in step.inputs}
        found = {name: self._known[name].tensor.constant for name in used}
        self._constants = {name: array for name, array in found.items() if array is not None}

    def _add(
        self, op: str, names: list[str], declared: Tensor, output: str, entry: Mapping[str, Any]
    ) -> None:
        """Take an operator in. Raises ValueError and others for one that can't be followed."""
        if output in self._known:
            raise ValueError("its result is there already")
        for name in names:
            if name not in self._known:
                raise ValueError(f"its input {name!r} is not there yet")
        # Only RESCALE reads and writes unsigned numbers: elsewhere they would be others.
        attributes = entry["attributes"]
        unsigned = self._unsigned.intersection(names)
        if unsigned and not (op == "RESCALE" and attributes["input_unsigned"]):
            raise ValueError(f"its input {unsigned.pop()!r} is unsigned")
        if op == "RESCALE" and attributes["output_unsigned"]:
            self._unsigned.add(output)
        known = [self._known[name] for name in names]
        inputs = tuple(k.tensor for k in known)
        kind = OPERATORS[op]
        if len(inputs) != (kind.inputs or max(len(inputs), 1)):
            raise ValueError(f"it has {len(inputs)} inputs; expected {kind.inputs}")
        types = f"{inputs[0].dtype}>{declared.dtype}"
        if op == "SELECT":
            types = f"bool>{declared.dtype}"
        if types not in kind.types.split():
            raise ValueError(f"its types are {types}; expected one of {kind.types}")
        call = Call(f"{op} {output!r}", inputs, declared.shape, declared.dtype, entry["attributes"])
        made = kind.make(call)
        self._put(made, names[: made.count], known[: made.count], declared, output)

    def _put(
        self, made: Made, names: list[str], known: list[_Known], declared: Tensor, output: str
    ) -> None:
        tensor = dataclasses.replace(declared, low=made.low, high=made.high)
        fixed = [k.tensor.constant for k in known]
        if all(array is not None for array in fixed):  # nothing of it changes
            values = made.run(*fixed)
            low, high = int(values.min()), int(values.max())
            tensor = dataclasses.replace(tensor, low=low, high=high, constant=values)
            self._known[output] = _Known(tensor)
            return
        self._known[output] = _Known(tensor)
        moving = [n for n, array in enumerate(fixed) if array is None]
        if (
            made.pointwise
            and len(moving) == 1
            and self._as_table(made, names, known, tensor, output)
        ):
            return
        self._steps.append(Step(made.run, tuple(names), output))

    def _as_table(
        self, made: Made, names: list[str], known: list[_Known], tensor: Tensor, output: str
    ) -> bool:
        """Make a table of an operator on a tensor that follows from one int8 or int16.

        So a chain of operators is one look-up. A table's index below 0 counts from its end.
        """
        (at,) = (n for n, k in enumerate(known) if k.tensor.constant is None)
        one = known[at]
        if one.tensor.shape != tensor.shape:
            return False
        root, values = one.root, one.values
        if values is None:
            if one.tensor.dtype not in _NARROW:
                return False
            root = names[at]
            values = np.arange(one.tensor.low, one.tensor.high + 1)[None]
        arrays: list[Array] = []
        for n, k in enumerate(known):
            fixed = k.tensor.constant
            if n != at and (fixed is None or fixed.size != 1):
                return False
            arrays.append(values if fixed is None else fixed.reshape(1, 1))
        try:
            found = made.run(*arrays)
        except BackendError:  # TOSA states no answer for a number that may never come
            return False
        least = self._known[root].tensor.low
        table = np.zeros(max(-least, 0) + max(least + found.size, 1), np.int64)
        table[np.arange(least, least + found.size)] = found[0]
        tensor = dataclasses.replace(tensor, low=int(found.min()), high=int(found.max()))
        self._known[output] = _Known(tensor, root, found)
        self._steps.append(Step(table.__getitem__, (root,), output))
        return True

    def _needed(self) -> list[Step]:
        """The steps that an output needs: a table skips those between."""
        wanted, steps = set(self.outputs), []
        for step in reversed(self._steps):
            if step.output in wanted:
                wanted |= set(step.inputs)
                steps.append(step)
        return steps[::-1]

    def run(self, arrays: Iterable[Array]) -> list[Array]:
        """(N, *shape) int64 for each input, in order -> the same for each output.

        Raises BackendError for values for which TOSA states no answer.
        """
        values = dict(self._constants)
        values.update(zip(self.inputs, arrays, strict=True))
        for step in self._steps:
            values[step.output] = step.run(*[values[name] for name in step.inputs])
        return [values[name] for name in self.outputs]


def _names(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"{value!r} is no list of names")
    return value


def _declared(name: str, shape: Sequence[Any], dtype: str) -> Tensor:
    if dtype not in BITS:
        raise ValueError(f"{name!r} is {dtype!r}; expected one of {', '.join(BITS)}")
    if not all(type(n) is int and 0 < n <= MOST for n in shape) or math.prod(shape) > MOST:
        raise ValueError(f"{name!r} has the shape {shape!r}")
    return Tensor(tuple(shape), dtype, *limits(dtype))


def _constant(name: str, tensor: Tensor, array: NDArray[Any]) -> Tensor:
    expected = _TYPES.get(tensor.dtype, tensor.dtype)
    if array.shape != tensor.shape or array.dtype != np.dtype(expected):
        raise ValueError(
            f"the constant {name!r} is {array.dtype}{array.shape}; "
            f"expected {expected}{tensor.shape}"
        )
    values = array.astype(np.int64)[None]
    low, high = int(values.min()), int(values.max())
    if not tensor.low <= low <= high <= tensor.high:
        raise ValueError(f"the constant {name!r} has values beyond {tensor.dtype}")
    return dataclasses.replace(tensor, low=low, high=high, constant=values)
