"""Small data sets, written by the tests themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from edge_lstm.config.load import load_config
from edge_lstm.config.schema import Config


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # models this small lose more than they win by a second one


@pytest.fixture
def classify_csv(tmp_path: Path) -> Path:
    """Five subjects: each walks 20 rows and rests 15. Two channels."""
    rng = np.random.default_rng(0)
    lines = ["subject,activity,a,b"]
    for subject in range(1, 6):
        for activity, steps, level in (("walk", 20, 2.0), ("rest", 15, -2.0)):
            for a, b in rng.normal(level, 1.0, (steps, 2)):
                lines.append(f"s{subject},{activity},{a:.4f},{b:.4f}")
    path = tmp_path / "data.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def forecast_csv(tmp_path: Path) -> Path:
    """200 rows: a counts them, b is a wave of 10 rows with some noise."""
    rng = np.random.default_rng(1)
    rows = np.arange(200)
    b = np.sin(2 * np.pi * rows / 10) + 0.05 * rng.normal(size=200)
    path = tmp_path / "data.csv"
    path.write_text("a,b\n" + "".join(f"{k},{v:.5f}\n" for k, v in zip(rows, b, strict=True)))
    return path


@pytest.fixture
def configure(tmp_path: Path) -> Callable[..., Config]:
    """A configuration beside the data, with texts replaced.

    configure(FORECAST, ("horizon = 3", "horizon = 5"))
    """

    def make(text: str, *replacements: tuple[str, str], **overrides: object) -> Config:
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "config.toml").write_text(text)
        return load_config(
            tmp_path / "config.toml", {k.replace("__", "."): v for k, v in overrides.items()}
        )

    return make
