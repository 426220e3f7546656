"""Small data in memory, and runs of it that take a fraction of a second."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

import edge_lstm as el

RNG = np.random.default_rng(5)
X = RNG.normal(size=(30, 12, 2))
Y = np.where(X[:, :, 0].sum(axis=1) > 0, "up", "down")
EACH = (X[:, :, 0] > 0).astype(int)
LENGTHS = RNG.integers(6, 20, 24)
LISTED = [RNG.normal(size=(n, 2)) for n in LENGTHS]
WAVE = np.stack([np.sin(np.arange(700) / 8), np.cos(np.arange(700) / 8)], axis=1)
HOURS = pl.datetime_range(pl.datetime(2024, 1, 1), pl.datetime(2024, 1, 30, 3), "1h", eager=True)
FRAME = pl.DataFrame({"hour": HOURS, "users": WAVE[:, 0] + 2, "rain": WAVE[:, 1], "day": "x"})
GROUPED = pl.DataFrame(
    {
        "who": np.repeat([f"p{k}" for k in range(20)], 30),
        "a": WAVE[:600, 0],
        "b": WAVE[:600, 1],
        "what": np.repeat(["u", "v"] * 10, 30),
        "twice": 2 * WAVE[:600, 0],
    }
)


def small(*data: Any, **settings: Any) -> el.Run:
    return el.fit(*data, quiet=True, figures=False, **{"hidden_size": 4, "epochs": 1, **settings})
