"""A TOSA flatbuffer as a program: JSON and the constants, which NumPy can run.

It runs inside the compiler's environment, which has the readers of the flatbuffer.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tosa import Attribute, DType, Op, RoundingMode
from tosa.TosaGraph import TosaGraph

_DTYPES = {"INT8": "<i1", "INT16": "<i2", "INT32": "<i4"}
_SKIPPED = ("Init", "GetRootAs", "TosaBufferHasIdentifier")


def _names(enum: type) -> dict[int, str]:
    return {value: name for name, value in vars(enum).items() if not name.startswith("_")}


_OPERATORS = _names(Op.Op)
_TYPES = _names(DType.DType)
_ATTRIBUTES = _names(Attribute.Attribute)
_ROUNDINGS = _names(RoundingMode.RoundingMode)


def program(flatbuffer: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """(the program, its constants by name). int48 becomes int64, and its dtype stays "int48".

    Raises ValueError if there is more than one block, or a type that isn't an integer's.
    """
    graph = TosaGraph.GetRootAs(flatbuffer, 0)
    if graph.RegionsLength() != 1 or graph.Regions(0).BlocksLength() != 1:
        raise ValueError("the TOSA graph has more than one block")
    block = graph.Regions(0).Blocks(0)
    tensors = {}
    constants = {}
    for k in range(block.TensorsLength()):
        tensor = block.Tensors(k)
        name = tensor.Name().decode()
        dtype = _TYPES[tensor.Type()]
        shape = [] if tensor.ShapeIsNone() else tensor.ShapeAsNumpy().tolist()
        tensors[name] = {"shape": shape, "dtype": dtype.lower()}
        if tensor.DataLength():
            constants[name] = _content(dtype, tensor.DataAsNumpy().tobytes(), shape)
    for k in range(block.ShapesLength()):
        shape = block.Shapes(k)
        values = np.frombuffer(shape.DataAsNumpy().tobytes(), "<i8")[: shape.Rank()]
        constants[shape.Name().decode()] = values.astype(np.int64)
    operators = [_operator(block.Operators(k)) for k in range(block.OperatorsLength())]
    return {
        "inputs": [block.Inputs(k).decode() for k in range(block.InputsLength())],
        "outputs": [block.Outputs(k).decode() for k in range(block.OutputsLength())],
        "tensors": tensors,
        "operators": [o for o in operators if not o["op"].startswith("CONST")],
    }, constants


def _content(dtype: str, data: bytes, shape: list[int]) -> NDArray[Any]:
    count = int(np.prod(shape, dtype=np.int64))
    if dtype == "INT48":  # six bytes each
        wide = np.zeros((count, 8), np.uint8)
        wide[:, :6] = np.frombuffer(data, np.uint8)[: 6 * count].reshape(count, 6)
        values = (wide.view("<i8")[:, 0] << 16) >> 16
        return values.reshape(shape)
    if dtype not in _DTYPES:
        raise ValueError(f"the TOSA graph has a constant of the type {dtype}")
    return np.frombuffer(data, _DTYPES[dtype])[:count].reshape(shape).copy()


def _operator(operator: Any) -> dict[str, Any]:
    return {
        "op": _OPERATORS[operator.Op()],
        "inputs": [operator.Inputs(k).decode() for k in range(operator.InputsLength())],
        "outputs": [operator.Outputs(k).decode() for k in range(operator.OutputsLength())],
        "attributes": _attributes(operator),
    }


def _attributes(operator: Any) -> dict[str, Any]:
    kind = _ATTRIBUTES[operator.AttributeType()]
    if kind == "NONE" or operator.Attribute() is None:
        return {}
    found = getattr(importlib.import_module(f"tosa.{kind}"), kind)()
    found.Init(operator.Attribute().Bytes, operator.Attribute().Pos)
    values = {}
    for name in vars(type(found)):
        plain = not name.startswith("_") and not name.endswith(("AsNumpy", "Length", "IsNone"))
        if not plain or name in _SKIPPED or "HasIdentifier" in name or name.startswith("GetRoot"):
            continue
        length = getattr(found, f"{name}Length", None)
        getter = getattr(found, name)
        value: Any = getter() if length is None else [getter(k) for k in range(length())]
        value = _ROUNDINGS[value] if name == "RoundingMode" else value
        value = _TYPES[value].lower() if name == "AccType" else value
        snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
        values[snake] = value
    return values
