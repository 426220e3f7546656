"""What tests of several folders share, made once for all of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import hatch_build
from helpers.longest import LONGEST

if TYPE_CHECKING:
    from edge_lstm import Run

CONFIG = """
[data]
source = "aeon"
name = "BasicMotions"
channels = ["ax", "ay", "az", "gx", "gy", "gz"]
[data.split]
by = "given"
val = 0.2
[model]
task = "classify"
hidden_size = 16
num_layers = 2
[train]
epochs = 3
batch_size = 8
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files begin first, so that at the end no process waits for another's."""
    place = {path: n for n, path in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps fake backends out of the user's cache. The tests of the cache switch it on again."""
    monkeypatch.setenv("EDGE_LSTM_REMEMBER", "0")


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of every wheel, those of the runtime and the desktop's."""
    folder = tmp_path_factory.mktemp("dist")
    hatch_build.build_wheels(folder)
    return folder


@pytest.fixture(scope="session")
def wheels(dist: Path) -> dict[str, Path]:
    """The runtime's by platform: "manylinux2014_aarch64" and so on, "any" without a library."""
    return {path.stem.split("-")[-1]: path for path in dist.glob("edge_lstm_runtime-*")}


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """On real data, for a few epochs."""
    from edge_lstm import load_config, train  # here, for the tests that don't need PyTorch

    folder = tmp_path_factory.mktemp("trained")
    (folder / "config.toml").write_text(CONFIG)
    return train(load_config(folder / "config.toml"), folder / "run")
