"""Runs and models for the export's tests, made once for all of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edge_lstm import Run, load_config, train
from edge_lstm_runtime import ModelSpec
from helpers.arrays import Weights
from helpers.weights import random_model


@pytest.fixture(scope="session")
def forecast_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A forecast with residual answers and gaps that are filled, of a sine with noise."""
    folder = tmp_path_factory.mktemp("forecast")
    rng = np.random.default_rng(0)
    wave = 20 + 3 * np.sin(np.arange(900) * 2 * np.pi / 24) + rng.normal(size=900) * 0.2
    rows = [f"{n},{'' if n % 97 == 50 else round(v, 3)}" for n, v in enumerate(wave)]
    (folder / "wave.csv").write_text("t,temperature\n" + "\n".join(rows) + "\n")
    (folder / "config.toml").write_text(
        '[data]\nsource = "csv"\npath = "wave.csv"\nchannels = ["temperature"]\ntime = "t"\n'
        'missing = "ffill"\nwindow = 48\nstride = 24\n'
        "season = 24\n[data.split]\nby = 'time'\n[model]\ntask = 'forecast'\nhidden_size = 8\n"
        "horizon = 2\nresidual = true\n"
        "[train]\nepochs = 2\n"
    )
    return train(load_config(folder / "config.toml"), folder / "run")


@pytest.fixture(scope="session")
def regress_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two targets that are no inputs, in units far apart: running means of a and of 1000 b.

    Eight recordings of 120 rows.
    """
    folder = tmp_path_factory.mktemp("regress")
    rng = np.random.default_rng(0)
    rows = ["unit,a,b,level,swing"]
    for unit in range(8):
        level = swing = 0.0
        for a, b in rng.normal(size=(120, 2)):
            level = 0.7 * level + 0.3 * a
            swing = 0.7 * swing + 300 * b
            rows.append(f"u{unit},{a:.5f},{b:.5f},{level:.5f},{swing:.5f}")
    (folder / "units.csv").write_text("\n".join(rows) + "\n")
    (folder / "config.toml").write_text(
        '[data]\nsource = "csv"\npath = "units.csv"\nchannels = ["a", "b"]\ngroup = "unit"\n'
        "[data.split]\nby = 'group'\n[model]\ntask = 'regress'\ntargets = ['level', 'swing']\n"
        "hidden_size = 8\n"
        "[train]\nepochs = 40\nlearning_rate = 0.03\nbatch_size = 2\n"
    )
    return train(load_config(folder / "config.toml"), folder / "run")


@pytest.fixture(scope="session")
def both_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Bidirectional, 2 layers of 12 on BasicMotions (6 channels, 100 steps), for a few epochs."""
    folder = tmp_path_factory.mktemp("both")
    (folder / "config.toml").write_text(
        '[data]\nsource = "aeon"\nname = "BasicMotions"\n[data.split]\nby = "given"\nval = 0.2\n'
        '[model]\ntask = "classify"\nhidden_size = 12\nnum_layers = 2\nbidirectional = true\n'
        "[train]\nepochs = 4\nbatch_size = 8\nlearning_rate = 0.01\n"
    )
    return train(load_config(folder / "config.toml"), folder / "run")


@pytest.fixture(name="random_model")
def _random_model() -> Callable[..., tuple[ModelSpec, Weights]]:
    return random_model
