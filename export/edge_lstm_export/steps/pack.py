"""Step 9: one file."""

from __future__ import annotations

import dataclasses
import re
from importlib.metadata import version

from edge_lstm_runtime import write_bundle
from edge_lstm_runtime.bundle import write_npz

from ..work import Work, scheme_of
from .verify_float import MEMBERS

PACKAGES = ("edge-lstm", "numpy", "torch", "onnx", "onnxsim", "onnxruntime")


def call(work: Work) -> Work:
    members = {MEMBERS[form]: graph.SerializeToString(deterministic=True) for form, graph in work.graphs.items()}
    members["golden.npz"] = write_npz({"x": work.stream, "y": work.reference})
    members["calibration.npz"] = write_npz(work.calibration)
    artifacts = {}
    versions = {name: version(name) for name in PACKAGES}
    for member, converter in work.converters.items():
        members[member] = converter.rknn
        accuracy = work.accuracy[f"rknn-sim {member}"]
        artifacts[member] = {
            "kind": "rknn",
            "target": work.target,
            "scheme": scheme_of(work, member),
            "form": "cell",
            "graph": MEMBERS["cell"],
            "tolerance": dataclasses.asdict(accuracy.tolerance),
            "operators": converter.operators,
            "memory_kb": converter.memory_kb,
        }
        if match := re.search(r"librknnc version: ([0-9.]+ \(\w+)", converter.log()):
            versions["rknn-toolkit2 compiler"] = match[1] + ")"
    bundle = write_bundle(
        work.out,
        work.spec,
        work.weights,
        members,
        artifacts=artifacts,
        accuracy={name: {**a.comparison.to_dict(), "source": a.source} for name, a in work.accuracy.items()},
        metrics={name: dict(values) for name, values in work.metrics.items()},
        notes=list(work.notes),
        versions=versions,
    )
    return dataclasses.replace(work, bundle=bundle)
