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
from edge_lstm.data.columns import Columns
from edge_lstm.data.known_future import looked_ahead, without
from edge_lstm.data.read_text import header_of, read_table
from edge_lstm.data.tables import recordings
from edge_lstm_runtime import ConfigError, ModelSpec
from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.inputs.characters import Characters
from edge_lstm_runtime.inputs.transforms import Calendar
from edge_lstm_runtime.layers import FEATURES
from edge_lstm_runtime.layers.dense import Dense
from edge_lstm_runtime.layers.lstm import Lstm

from ..measure.cells import recorded

Float64 = NDArray[np.float64]


def lstm_layers(spec: ModelSpec) -> list[Lstm]:
    """The LSTM layers, in order: each one reads the one before, and a dense head the last.

    Raises ConfigError for any other network.
    """
    *inner, head = spec.network.layers
    found = [layer for layer in inner if isinstance(layer, Lstm)]
    read = [FEATURES, *(layer.name for layer in inner)]
    chain = all(layer.inputs == (n,) for layer, n in zip(spec.network.layers, read, strict=True))
    plain = isinstance(head, Dense) and head.activation == "none"
    if not (found and len(found) == len(inner) and chain and plain):
        titles = " -> ".join(layer.title for layer in spec.network.layers)
        raise ConfigError(
            f"the network is {titles}; inspect looks inside LSTM layers one after the other, "
            "with a dense head after the last"
        )
    return found


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


def trace(
    spec: ModelSpec, weights: Mapping[str, NDArray[Any]], features: NDArray[Any]
) -> list[Trace]:
    """features: (T, F), normalized -> a trace for each LSTM layer, by its cell in float64."""
    names = [field.name for field in dataclasses.fields(Trace)]
    exact = {name: np.asarray(array, np.float64) for name, array in weights.items()}
    xs = np.asarray(features, np.float64)
    traces = []
    for layer in lstm_layers(spec):
        _, inside, states = recorded(layer, spec.network.own(layer, exact), xs)
        inside["c"] = states["c"]
        traces.append(Trace(*(inside[name] for name in names)))
        xs = traces[-1].h
    return traces


def longest(sequences: Many[Sequence]) -> Sequence:
    return max(sequences, key=lambda s: len(s.x))


def _columns(inputs: Channels) -> Columns:
    """The columns of a CSV from which its channels are made."""
    made = (inputs.clock, inputs.elapsed)
    timed = inputs.time_column or inputs.clock
    calendar = any(isinstance(transform, Calendar) for transform in inputs.transforms)
    return Columns(
        tuple(name for name in inputs.names if name not in made),
        time=inputs.text.parts(inputs.time_column or inputs.clock) if timed else (),
        missing=inputs.missing,
        dt=bool(inputs.elapsed),
        clock="" if not inputs.clock else "calendar" if calendar else "seconds",
    )


def read_recording(run: Run, path: Path) -> Sequence:
    """A file of the same format as the run's data, or a CSV with its channels, in raw units.

    Only the channels are read. For a language model it is a text, reduced as the run's own is.
    Raises DataError.
    """
    data = run.config.data
    spec = run.spec
    recording = data.read_alone(path, spec.inputs.names)
    if isinstance(spec.inputs, Characters):
        assert recording is not None
        return Sequence(path.name, path.name, indices(recording, spec.inputs.characters))
    if recording is None:
        assert isinstance(spec.inputs, Channels)
        columns = _columns(spec.inputs)
        form = spec.inputs.text
        wanted = without(columns.wanted, header_of(path, form))
        table = looked_ahead(read_table(path, form, wanted), columns.channels)
        (recording,) = recordings(table, columns, None)
    return Sequence(path.name, path.name, recording.x)
