"""A step on integers, lowered by ExecuTorch and compiled by Vela."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import torch
from ethosu.vela import vela
from ethosu.vela.architecture_features import CONFIG_FILES_PATH
from executorch.backends.arm.common.annotation_meta import ArmAnnotationInfo
from executorch.backends.arm.ethosu import EthosUCompileSpec, EthosUPartitioner
from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower

from .grids import TYPES
from .step import Step

VELA_INI = "Arm/vela.ini"  # in Vela's folder of configurations
_CALLS = ("executorch_call_delegate", "getitem")


@dataclasses.dataclass(frozen=True)
class Lowered:
    """tosa: the flatbuffer that Vela compiled. pte: ExecuTorch's program with Vela's stream.
    tflite: a TFLite file with one operator, that stream, for TFLite Micro and Linux.
    on_cpu: the operators that are in no delegate. inputs, outputs: for each of the step's, its
    place among those of the flatbuffer, which has an order of its own."""

    tosa: bytes
    pte: bytes
    tflite: bytes
    on_cpu: list[str]
    inputs: list[int]
    outputs: list[int]


def lowered(step: Step, sizes: dict[str, int], target: dict[str, Any], folder: Path) -> Lowered:
    """target: accelerator, system_config, memory_mode of Vela, and the section of the system
    configuration, empty if Vela has it. sizes: of x and the states.

    folder: gets TOSA's file and Vela's. Raises RuntimeError if the net became no graph, or several.
    """
    inputs = examples(step, sizes)
    with torch.no_grad():
        step(*inputs)  # makes the constants
        exported = torch.export.export(step, inputs, strict=False)
    for node in exported.graph.nodes:
        if node.op == "call_function" and "quantize" not in str(node.target):
            # What ArmQuantizer marks. The partitioner takes no other node.
            marks = node.meta.setdefault("custom", {})
            marks[ArmAnnotationInfo.CUSTOM_META_KEY] = {"quantized": True}
    config = _config(target, folder)
    spec = EthosUCompileSpec(
        target["accelerator"],
        system_config=target["system_config"],
        memory_mode=target["memory_mode"],
        extra_flags=["--verbose-performance"],
        config_ini=config,
    )
    spec.dump_intermediate_artifacts_to(_from_here(folder))
    edge = to_edge_transform_and_lower(
        exported,
        partitioner=[EthosUPartitioner(spec)],
        compile_config=EdgeCompileConfig(_check_ir_validity=False),
    )
    graph = edge.exported_program().graph_module
    files = sorted(folder.rglob("*.tosa"))
    if not files:
        raise RuntimeError("the NPU took no operator")
    calls = [n for n in graph.graph.nodes if n.op == "call_function"]
    delegates = [n for n in calls if _CALLS[0] in n.name]
    if len(delegates) != 1:
        raise RuntimeError(f"the NPU took the net in {len(delegates)} pieces, expected one")
    on_cpu = [n.name for n in calls if not n.name.startswith(_CALLS)]
    given = [arg.name for arg in delegates[0].args[1:]]  # behind the delegate itself
    names = edge.exported_program().graph_signature.user_inputs
    (output,) = (n for n in graph.graph.nodes if n.op == "output")
    if lost := [name for name in names if name not in given]:
        raise RuntimeError(f"ExecuTorch made a graph that does not read {', '.join(lost)}")
    places = [given.index(name) for name in names]
    outputs = [int(item.args[1]) for item in output.args[0]]
    pte = bytes(edge.to_executorch().buffer)
    tflite = _tflite(files[0], target, config, folder / "tflite")
    return Lowered(files[0].read_bytes(), pte, tflite, on_cpu, places, outputs)


def examples(step: Step, sizes: dict[str, int]) -> tuple[torch.Tensor, ...]:
    """x and the states, each a tensor of its own: of one tensor that is given as two states,
    torch.export makes one input."""
    return tuple(
        torch.zeros((1, size), dtype=TYPES[step.edges[name].bits]) for name, size in sizes.items()
    )


def _config(target: dict[str, Any], folder: Path) -> str:
    """Vela's own file, or a copy of it with the section besides. The memory modes are Vela's."""
    if not target["section"]:
        return VELA_INI
    own = (Path(CONFIG_FILES_PATH) / VELA_INI).read_text("utf-8")
    lines = [f"[System_Config.{target['system_config']}]"]
    lines += [f"{key}={value}" for key, value in target["section"].items()]
    file = folder / "board.ini"
    file.write_text("\n".join([own, *lines, ""]), "utf-8")
    return _from_here(file)


def _from_here(path: Path) -> str:
    """ExecuTorch splits Vela's options at spaces. The worker stands in its folder, whose own path
    may have one. Vela seeks FOLDER/FILE.ini in its own folders, but for one that begins with a dot.
    """
    return f"./{os.path.relpath(path)}"


def _tflite(tosa: Path, target: dict[str, Any], config: str, folder: Path) -> bytes:
    """Vela takes TOSA, and writes TFLite. So no converter of TensorFlow is needed."""
    vela.main(
        [
            f"--accelerator-config={target['accelerator']}",
            f"--config={config}",
            f"--system-config={target['system_config']}",
            f"--memory-mode={target['memory_mode']}",
            "--output-format=tflite",
            f"--output-dir={folder}",
            str(tosa),
        ]
    )
    return next(folder.glob("*.tflite")).read_bytes()
