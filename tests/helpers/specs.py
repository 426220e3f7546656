"""Specifications of small models, and samples for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import edge_lstm_runtime as rt


def make_spec(
    *,
    task: str = "classify",
    channels: int | Sequence[str] = 3,
    hidden: int = 8,
    layers: int = 1,
    outputs: int = 4,
    missing: str = "refuse",
    residual: bool = False,
    targets: Sequence[str] = (),
    bidirectional: bool = False,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> rt.ModelSpec:
    """outputs: the number of classes, or the horizon of a forecast.
    targets: of a forecast; none given: the first channel and, if there is one, the second."""
    names = tuple(f"ch{k}" for k in range(channels)) if isinstance(channels, int) else tuple(channels)
    common: dict[str, Any] = {
        "task": task,
        "channels": names,
        "hidden_size": hidden,
        "num_layers": layers,
        "input_mean": tuple(mean) if mean is not None else tuple(0.5 * k - 1.0 for k in range(len(names))),
        "input_std": tuple(std) if std is not None else tuple(1.0 + 0.25 * k for k in range(len(names))),
        "missing": missing,
    }
    if task == "classify":
        return rt.ModelSpec(**common, classes=tuple(f"class{k}" for k in range(outputs)), bidirectional=bidirectional)
    targets = tuple(targets) or names[:2]
    size = outputs * len(targets)
    return rt.ModelSpec(
        **common,
        targets=targets,
        horizon=outputs,
        output_offset=tuple(0.1 * k for k in range(size)),
        output_scale=tuple(1.0 + 0.5 * k for k in range(size)),
        residual=residual,
    )


def samples(spec: rt.ModelSpec, steps: int, seed: int = 1) -> NDArray[np.float64]:
    """(steps, C) raw units: slow waves and noise around each channel's mean."""
    rng = np.random.default_rng(seed)
    waves = np.sin(np.arange(steps)[:, None] / (7.0 + 3.0 * np.arange(spec.input_size)))
    noise = rng.standard_normal((steps, spec.input_size))
    return np.asarray(spec.input_mean) + np.asarray(spec.input_std) * (waves + 0.5 * noise)


def plain_spec(layers: int, hidden: int, *, channels: int = 3, outputs: int = 3, bidirectional: bool = False) -> rt.ModelSpec:
    """A classifier whose features are its samples: nothing is shifted or scaled."""
    return make_spec(
        channels=channels,
        hidden=hidden,
        layers=layers,
        outputs=outputs,
        bidirectional=bidirectional,
        mean=(0.0,) * channels,
        std=(1.0,) * channels,
    )


def least_spec() -> rt.ModelSpec:
    """A forecast of one channel, one step ahead, for what needs some specification."""
    return make_spec(task="forecast", channels=1, outputs=1, mean=(0.0,), std=(1.0,))


def feature_rows(spec: rt.ModelSpec, steps: int, seed: int = 0) -> NDArray[np.float32]:
    """(steps, F) of the standard normal distribution, as features are."""
    return np.random.default_rng(seed).normal(size=(steps, spec.feature_size)).astype(np.float32)
