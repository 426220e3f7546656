"""The origin of a C export: a trained run, or a bundle."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edge_lstm import Run, load_run
from edge_lstm_runtime import Bundle, ConversionError, ModelSpec, Reference, read_bundle
from edge_lstm_runtime.backends.native_int8 import MEMBER
from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.session import answers

from ..quantize.cpu_int8 import Arrays
from ..steps.draw_stream import golden_stream
from ..steps.quantize_native import of_run
from .block import Float32, Float64, check_sizes, plain_int8
from .samples import DOUBLE, Samples, check_taken

STEPS = 200  # enough to show a wrong state, and few, because they take flash in the self-test
MOST_STEPS = 1000  # for transforms that look back further


@dataclasses.dataclass(frozen=True)
class Source:
    """samples: (steps, C) raw units. rows: (steps, F) their features. outputs: (steps, O) of the
    reference, from the zero state. answers: (steps, O) the same in raw units. All are float64.

    steps: STEPS, more for transforms that look back, or fewer if the bundle has no more. int8: as
    in int8.npz (docs/bundle.md).
    """

    spec: ModelSpec
    weights: Mapping[str, Float32]
    samples: Float64
    rows: Float64
    outputs: Float64
    answers: Float64
    int8: Arrays


def read_source(
    source: Run | Bundle | str | os.PathLike[str], scheme: str, kind: Samples = DOUBLE
) -> Source:
    """source: a run or its folder, or a bundle or its file, NAME.edge. kind: what a sample is in C.

    The same model gives the same result from either. Raises ConversionError if the kernel does
    not take the model in this scheme.
    """
    if not isinstance(source, (Run, Bundle)):
        source = read_bundle(source) if Path(source).suffix == ".edge" else load_run(Path(source))
    check_sizes(source.spec, scheme)
    answer = source.spec.answer
    bare = isinstance(source, Bundle) and MEMBER not in source.members
    if scheme == "int8" and bare and answer.imported:
        raise ConversionError(f"the bundle has no {MEMBER}; {answer.make} again, or take float32")
    stream = source.golden[0] if isinstance(source, Bundle) else golden_stream(source.splits.test)
    spec = source.spec
    # If the test data has a gap, the stretch has one, so that filling is tested too.
    gaps = np.flatnonzero(np.isnan(stream).any(axis=1))
    steps = _steps(spec)
    start = max(0, min(int(gaps[0]) - steps // 2, len(stream) - steps)) if len(gaps) else 0
    check_taken(spec, kind, stream)
    samples = kind.taken(stream[start : start + steps])
    rows, filled = spec.inputs.features(samples)
    outputs: Float64 = Reference(spec, source.weights).run(rows)
    scaling = spec.answer.scaling(spec.inputs)
    answered = outputs if scaling is None else answers(scaling, outputs, filled)
    return Source(spec, source.weights, samples, rows, outputs, answered, _int8(source))


def _steps(spec: ModelSpec) -> int:
    """So many that the memory of each transform is full well before the end."""
    if not isinstance(spec.inputs, Channels):
        return STEPS
    rings = (t.memory.get("past", (0,))[0] for t in spec.inputs.derived)
    return min(STEPS + max(rings, default=0), MOST_STEPS)


def _int8(source: Run | Bundle) -> Arrays:
    if isinstance(source, Run):
        return of_run(source)
    return (
        source.arrays(MEMBER)
        if MEMBER in source.members
        else plain_int8(source.spec, source.weights)
    )
