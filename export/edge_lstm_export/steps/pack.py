"""Step 13: one file."""

from __future__ import annotations

import dataclasses
import re
from importlib.metadata import version
from typing import Any

from edge_lstm_runtime import write_bundle
from edge_lstm_runtime.backends.native_int8 import MEMBER
from edge_lstm_runtime.model.measured import Measured, write_measured
from edge_lstm_runtime.model.npz import write_npz

from ..measure import keys
from ..npu.rknn.conversion import dataset
from ..work import GRAPHS, Work

PACKAGES = ("edge-lstm", "numpy", "torch", "onnx", "onnxsim", "onnxruntime")


def call(work: Work) -> Work:
    members = {}
    for form, graph in work.graphs.items():
        members[GRAPHS[form]] = graph.SerializeToString(deterministic=True)
    golden = {"x": work.stream, "y": work.reference}
    members["golden.npz"] = write_npz(
        golden | {"lengths": work.lengths} if work.spec.whole else golden
    )
    if work.calibration:
        members["calibration.npz"] = write_npz(dataset(work.calibration))
    tolerance = work.accuracy[work.base].tolerance
    facts: dict[str, Any] = {"float32": {"tolerance": dataclasses.asdict(tolerance)}}
    if work.native_int8:
        members[MEMBER] = write_npz(work.native_int8)
        facts["native_int8"] = _promised(work, keys.NATIVE_INT8)
    if keys.NATIVE_FP16 in work.judgements:
        facts["native_fp16"] = _promised(work, keys.NATIVE_FP16)
    if work.model is not None:
        facts["model"] = dict(work.model)
    if work.step is not None:
        facts["reference"] = work.step.words
    artifacts = {}
    versions = {name: version(name) for name in PACKAGES}
    for member, artifact in work.artifacts.items():
        converter = artifact.converter
        made_from = GRAPHS["cell"]
        if artifact.form.name != "cell" or made_from not in members:
            made_from = f"npu-{artifact.form.label}.onnx"
            members[made_from] = artifact.form.graph.SerializeToString(deterministic=True)
        members[member] = converter.rknn
        artifacts[member] = {
            "kind": "rknn",
            "target": artifact.target,
            "scheme": artifact.scheme,
            "form": artifact.form.name,
            "graph": made_from,
            "recipe": artifact.form.recipe,
            **_promised(work, keys.simulated(member)),
            "operators": converter.operators,
            "memory_kb": converter.memory_kb,
            "candidates": [candidate.to_dict() for candidate in work.candidates[member]],
            **(
                {"inspection": dataclasses.asdict(work.inspections[member])}
                if member in work.inspections
                else {}
            ),
        }
        if match := re.search(r"librknnc version: ([0-9.]+) \((\w+)", converter.log()):
            artifacts[member]["compiler"] = match[1]
            versions["rknn-toolkit2 compiler"] = f"{match[1]} ({match[2]})"
    bundle = write_bundle(
        work.out,
        work.spec,
        work.weights,
        members,
        artifacts=artifacts,
        accuracy=write_measured(
            {
                key: {**a.comparison.to_dict(), "source": a.source}
                for key, a in work.accuracy.items()
            }
        ),
        metrics=write_measured(work.metrics),
        notes=list(work.notes),
        left_out=dict(work.left_out),
        versions=versions,
        provenance=dict(work.run.provenance),
        **facts,
    )
    return dataclasses.replace(work, bundle=bundle)


def _promised(work: Work, backend: Measured) -> dict[str, Any]:
    """For a model in fewer bits: its tolerance, and the verdict with its figures."""
    return {
        "tolerance": dataclasses.asdict(work.accuracy[backend].tolerance),
        "test_split": dataclasses.asdict(work.judgements[backend]),
    }
