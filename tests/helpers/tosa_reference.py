"""TOSA's reference model over cases of `tosa_graphs.py`, in a file of JSON.

It runs inside an environment with tosa-tools, by that environment's Python, and imports nothing
of this repository. Each case gets "answers", for each stream {"status": ..., "outputs": [...]}.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tosa_reference_model
import tosa_serializer as ts

DTYPES = {
    "bool": np.bool_,
    "int8": np.int8,
    "int16": np.int16,
    "int32": np.int32,
    "int48": np.int64,
}
_CONVOLUTION = ("pad", "stride", "dilation", "local_bound", "acc_type")
ORDER = {  # of the serializer's arguments
    "CONV2D": _CONVOLUTION,
    "DEPTHWISE_CONV2D": _CONVOLUTION,
    "RESCALE": (
        "scale32", "rounding_mode", "per_channel", "input_unsigned", "output_unsigned",
    ),
    "CLAMP": ("min_val", "max_val"),
}  # fmt: skip


def attribute(op: str, given: dict[str, Any], dtype: str) -> Any:
    made = ts.TosaSerializerAttribute()
    name = {
        "CONV2D": "Conv2d", "DEPTHWISE_CONV2D": "DepthwiseConv2d", "MATMUL": "MatMul",
        "INTDIV": "IntDiv",
    }.get(op, "".join(part.capitalize() for part in op.split("_")))  # fmt: skip
    values = [given[key] for key in ORDER.get(op, given)]
    if op in ("CONV2D", "DEPTHWISE_CONV2D"):
        values[-1] = getattr(ts.DType, values[-1].upper())
    elif op == "RESCALE":
        values[1] = getattr(ts.RoundingMode, values[1])
    elif op == "CLAMP":
        width = np.dtype(DTYPES[dtype]).itemsize
        values = [list(v.to_bytes(width, "little", signed=True)) for v in values]
        values.append(ts.NanPropagationMode.PROPAGATE)
    elif op in ("MAXIMUM", "MINIMUM", "REDUCE_MAX", "REDUCE_MIN"):
        values.append(ts.NanPropagationMode.PROPAGATE)
    getattr(made, f"{name}Attribute")(*values)
    return made


def flatbuffer(case: dict[str, Any]) -> bytes:
    program, constants = case["program"], case["constants"]
    graph = ts.TosaSerializer("", targetMajor=1, targetMinor=0, targetPatch=0, targetDraft=False)
    names: dict[str, str] = {}
    for name in program["inputs"]:
        tensor = program["tensors"][name]
        kind = getattr(ts.DType, tensor["dtype"].upper())
        graph.addInputTensor(ts.TosaSerializerTensor(name, tensor["shape"], kind, data=None))
        names[name] = name
    for name, array in constants.items():
        tensor = program["tensors"].get(name)
        if tensor is None:
            made = graph.addConst([len(array)], ts.DType.SHAPE, array, name)
        else:
            kind = getattr(ts.DType, tensor["dtype"].upper())
            values = np.asarray(array, DTYPES[tensor["dtype"]])
            made = graph.addConst(tensor["shape"], kind, values, name)
        names[name] = made.name
    block = graph.currRegion.currBasicBlock
    for entry in program["operators"]:
        (output,) = entry["outputs"]
        tensor = program["tensors"][output]
        block.addTensor(output, tensor["shape"], getattr(ts.DType, tensor["dtype"].upper()))
        names[output] = output
        graph.addOperator(
            getattr(ts.Op, entry["op"]), [names[n] for n in entry["inputs"]], [output],
            attribute(entry["op"], entry["attributes"], tensor["dtype"]),
        )  # fmt: skip
    for name in program["outputs"]:
        graph.addOutputTensor(block.tensors[name])
    return bytes(graph.serialize())


def answers(case: dict[str, Any]) -> list[dict[str, Any]]:
    model = flatbuffer(case)
    tensors = case["program"]["tensors"]
    found = []
    for stream in case["inputs"]:
        arrays = [
            np.asarray(array, DTYPES[tensors[name]["dtype"]])
            for name, array in zip(case["program"]["inputs"], stream, strict=True)
        ]
        try:
            outputs, status = tosa_reference_model.run(model, arrays)
        except ValueError as e:
            found.append({"status": f"refused: {e}", "outputs": []})
            continue
        kept = [] if status.name != "TOSA_VALID" else [o.astype(int).tolist() for o in outputs]
        found.append({"status": status.name, "outputs": kept})
    return found


def apart(case: dict[str, Any], file: Path) -> list[dict[str, Any]]:
    """The answers, from a process of their own: the model may end the one that it runs in."""
    if child := os.fork():
        os.waitpid(child, 0)
        if not file.exists():
            return [{"status": "died", "outputs": []} for _ in case["inputs"]]
        found: list[dict[str, Any]] = json.loads(file.read_text())
        file.unlink()
        return found
    file.write_text(json.dumps(answers(case)))
    os._exit(0)


if __name__ == "__main__":
    file = Path(sys.argv[1])
    cases = json.loads(file.read_text())
    for number, case in enumerate(cases):
        case["answers"] = apart(case, file.with_suffix(f".{number}"))
    file.write_text(json.dumps(cases))  # the model prints on standard output
