"""Step 13: one file."""

from __future__ import annotations

import dataclasses
from importlib.metadata import version
from typing import Any

from edge_lstm_runtime import write_bundle
from edge_lstm_runtime.backends.native_int8 import MEMBER
from edge_lstm_runtime.model.measured import Measured, write_measured
from edge_lstm_runtime.model.npz import write_npz

from ..measure import keys
from ..npu.targets import vendor_of
from ..quantize.calibration import dataset
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
    artifacts: dict[str, dict[str, Any]] = {}
    versions = {name: version(name) for name in PACKAGES}
    for member, artifact in work.artifacts.items():
        vendor = vendor_of(artifact.target)
        packed = vendor.pack(work, artifact, members)
        members |= {**packed.members, **packed.beside, member: packed.model}
        versions |= packed.versions
        artifacts[member] = {
            "kind": vendor.kind,
            "target": artifact.target,
            "scheme": artifact.scheme,
            "form": artifact.form.name,
            **packed.facts,
            **_promised(work, artifact.simulated),
            "candidates": [candidate.to_dict() for candidate in work.candidates[member]],
        }
        if packed.beside:
            artifacts[member]["beside"] = sorted(packed.beside)
        if member in work.inspections:
            artifacts[member]["inspection"] = dataclasses.asdict(work.inspections[member])
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
