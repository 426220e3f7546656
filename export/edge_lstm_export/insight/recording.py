"""The recording on which the cell's memory is shown, and the reference's way through it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from collections.abc import Sequence as Many
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm import Run, Sequence
from edge_lstm.data.characters import indices
from edge_lstm.data.tables import Columns, read_csv, recordings
from edge_lstm_runtime import ModelSpec
from edge_lstm_runtime.backends.reference import Reference

Float64 = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Trace:
    """What one layer did over T steps from the zero state, float64.

    i, f, g, o, tanh_c  (T, H) of each step
    c, h     (T, H) the cell and the output after each step
    """

    i: Float64
    f: Float64
    g: Float64
    o: Float64
    tanh_c: Float64
    c: Float64

    @property
    def h(self) -> Float64:
        return self.o * self.tanh_c


def before(values: Float64) -> Float64:
    """(T, H) of a trace, after each step -> before it."""
    return np.concatenate([np.zeros_like(values[:1]), values[:-1]])


def trace(spec: ModelSpec, weights: Mapping[str, NDArray[Any]], features: NDArray[Any]) -> list[Trace]:
    """features: (T, F), normalised -> a trace for each layer, by the float64 reference."""
    reference = Reference(spec, weights)
    rows: list[list[dict[str, Float64]]] = []
    for x in features:
        records: list[dict[str, Float64]] = [{} for _ in range(spec.num_layers)]
        reference.step(x, records)
        rows.append([{**record, "c": c} for record, c in zip(records, reference.state[1], strict=True)])
    names = [field.name for field in dataclasses.fields(Trace)]
    return [Trace(*(np.array([row[k][name] for row in rows]) for name in names)) for k in range(spec.num_layers)]


def longest(sequences: Many[Sequence]) -> Sequence:
    return max(sequences, key=lambda s: len(s.x))


def read_recording(run: Run, path: Path) -> Sequence:
    """A file of the same format as the run's data, or a CSV with its channels, in raw units.

    Only the channels are read. For a language model it is a text, reduced as the run's own is.
    Raises DataError.
    """
    data, spec = run.config.data, run.spec
    recording = data.read_alone(path, spec.channels)
    if spec.task == "language":
        assert recording is not None
        return Sequence(path.name, path.name, indices(recording, spec.classes))
    if recording is None:
        columns = Columns(spec.channels, missing=spec.missing)
        (recording,) = recordings(read_csv(path), path, columns, None)
    return Sequence(path.name, path.name, recording.x)
