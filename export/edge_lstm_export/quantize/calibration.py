"""The samples that a quantizer sees: drawn evenly from real training streams."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime import ModelSpec
from edge_lstm_runtime.backends.numpy import NumpyBackend
from edge_lstm_runtime.layers import Float32

T = TypeVar("T")
SAMPLES = 8192
POOL = 100_000  # training steps that are looked at
SEQUENCES = 64  # of a bidirectional model
DATASET = 256  # samples that a converter is given


def sequences(
    recordings: Sequence[NDArray[Any]], labels: Sequence[object], steps: int
) -> dict[str, Float32]:
    """x (N, steps, F): pieces of the training recordings, the classes in turn.

    recordings: (T, F) each. If one is too short, it is repeated. labels: the class of each.
    """
    groups: dict[object, list[NDArray[Any]]] = defaultdict(list)
    for n in np.random.default_rng(0).permutation(len(recordings)):
        x = recordings[n]
        x = np.resize(x, (max(steps, len(x)), x.shape[1]))
        groups[labels[n]] += [
            x[start : start + steps] for start in range(0, len(x) - steps + 1, steps)
        ]
    return {"x": np.stack(in_turns(list(groups.values()))[:SEQUENCES]).astype(np.float32)}


def calibrate(
    spec: ModelSpec,
    weights: Mapping[str, Float32],
    recordings: Sequence[NDArray[Any]],
    labels: Sequence[object],
) -> dict[str, Float32]:
    """x (N, F), and every state (N, size) by name before the step, for up to SAMPLES steps.

    recordings: training features (T, F) each. labels: the class of each.
    """
    rng = np.random.default_rng(0)
    order = rng.permutation(len(recordings))
    chosen = order[
        : np.searchsorted(np.cumsum([len(recordings[n]) for n in order]), POOL) + 1
    ].tolist()
    pool = [np.asarray(recordings[n], np.float32) for n in chosen]
    total = sum(map(len, pool))
    strata: dict[tuple[object, ...], list[int]] = defaultdict(list)
    position = 0
    for carried in (False, True):
        for n, recording in zip(chosen, pool, strict=True):
            for t in range(len(recording)):
                since = position - total if carried else t
                strata[carried, labels[n], (since + 1).bit_length()].append(position)
                position += 1
    everything = np.concatenate(pool)
    # Always in the set: ranges must not depend on luck.
    extremes = {*everything.argmin(axis=0).tolist(), *everything.argmax(axis=0).tolist()}
    priority = in_turns(
        [rng.permutation(members).tolist() for _, members in sorted(strata.items(), key=str)]
    )
    priority = [*extremes, *(p for p in priority if p not in extremes)][:SAMPLES]
    return _states(spec, weights, pool, sorted(priority))


def in_turns(groups: list[list[T]]) -> list[T]:
    """One of each group, then the next of each, until all are used."""
    longest = max(len(group) for group in groups)
    return [group[k] for k in range(longest) for group in groups if k < len(group)]


def _states(
    spec: ModelSpec,
    weights: Mapping[str, Float32],
    recordings: list[NDArray[np.float32]],
    positions: list[int],
) -> dict[str, Float32]:
    """x (N, F), and every state (N, size) by name before the steps at `positions`.

    The positions count through two passes over all recordings. Each recording of the first starts
    from the zero state. The second carries the state through all.
    """
    # The last of them is the start of the carried pass.
    starts = set(np.cumsum([0, *map(len, recordings)]).tolist())
    backend = NumpyBackend(spec, weights)
    found = []
    wanted = set(positions)
    for position, row in enumerate(
        row for _ in range(2) for recording in recordings for row in recording
    ):
        if position in starts:
            backend.reset()
        if position in wanted:
            found.append({"x": row, **backend.state})
        backend.step(row)
    return {name: np.stack([sample[name] for sample in found]) for name in found[0]}


def dataset(calibration: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """The part of the calibration set that a bundle has and a converter is given, evenly drawn. It
    is enough, because a converter needs only ranges."""
    count = len(calibration["x"])
    chosen = np.unique(np.linspace(0, count - 1, min(DATASET, count)).astype(int))
    return {name: array[chosen] for name, array in calibration.items()}
