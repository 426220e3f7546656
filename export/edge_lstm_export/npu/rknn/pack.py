"""What the bundle gets of a converted model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...work import GRAPHS, Artifact
from ..converted import Packed


def pack(artifact: Artifact, shared: Mapping[str, bytes]) -> Packed:
    """With the graph that it was made from, unless that is the bundle's own."""
    form: Any = artifact.form
    converter: Any = artifact.converter
    members = {}
    graph = GRAPHS["cell"]
    if form.name != "cell" or graph not in shared:
        graph = f"npu-{form.label}.onnx"
        members[graph] = form.graph.SerializeToString(deterministic=True)
    facts: dict[str, Any] = {
        "graph": graph,
        "recipe": form.recipe,
        "operators": converter.operators,
        "memory_kb": converter.memory_kb,
    }
    versions = {}
    if match := re.search(r"librknnc version: ([0-9.]+) \((\w+)", converter.log()):
        facts["compiler"] = match[1]
        versions["rknn-toolkit2 compiler"] = f"{match[1]} ({match[2]})"
    return Packed(converter.rknn, facts, members, versions=versions)
