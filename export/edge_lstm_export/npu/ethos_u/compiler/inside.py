"""The values inside of a step: on the reference model's integers, and as they should be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from edge_lstm_runtime.model.network import Network

from .step import Step
from .values import Value

Floats = np.ndarray[Any, np.dtype[np.float64]]


def sites(step: Step, sizes: Mapping[str, int]) -> dict[str, Value]:
    """The value of each site that has a grid of its own. Those of states are the step's outputs."""
    x, *states = (step.whole(name, np.zeros((1, size))) for name, size in sizes.items())
    with torch.no_grad():
        tape, found = step.run(x, states)
    edges = {value.site for value in found.values()}
    return {site: value for site, value in tape.made.items() if site not in edges}


def real(value: Value, whole: Any) -> Floats:
    """Integers of a site as the numbers that they stand for, cut off as in `exact`.

    whole: (steps, size).
    """
    grid = value.on
    columns = np.array(value.columns or (1.0,))
    numbers = (np.asarray(whole, np.float64) - grid.zero_point) * grid.scale * columns
    return _cut(value, value.site, numbers)


def exact(net: Network, floats: Step, rows: Floats) -> dict[str, Floats]:
    """(steps, size) of y, each state and each site in float64. rows: (steps, F), from the start
    of a stream. floats: the step without rounding.

    Sums are cut off where the function that reads them is flat: 8 bits go no further.
    """
    states = [torch.tensor(part[None]) for part in net.initial_state(np.float64).values()]
    found: dict[str, list[Any]] = {}
    with torch.no_grad():
        for row in rows:
            tape, after = floats.run(torch.tensor(row[None], dtype=torch.float64), states)
            states = [after[name].data for name in net.state]
            for name, value in {**tape.made, **after}.items():
                found.setdefault(name, []).append(_cut(value, name, value.data.numpy()[0]))
    return {name: np.stack(parts) for name, parts in found.items()}


def _cut(value: Value, site: str, numbers: Floats) -> Floats:
    found: Floats = np.clip(numbers, *value.tape.flat.get(site, (-np.inf, np.inf)))
    return found
