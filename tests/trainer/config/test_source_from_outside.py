"""A source from outside the packages, and its section."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_lstm import load_config, load_data, load_run, train
from edge_lstm.config.schema import Config
from edge_lstm_runtime.errors import ConfigError
from helpers.configs import CLASSIFY

Configure = Callable[..., Config]


TOY = '''
import numpy as np

from edge_lstm.config.base import Count
from edge_lstm.config.sections import SampleSection
from edge_lstm.data.recordings import Recording


class Section(SampleSection):
    """rows: of each wave; periods: their lengths."""

    rows: Count
    periods: tuple[float, ...] = (10.0, 25.0)

    @property
    def named_channels(self):
        return tuple(f"wave_{k}" for k in range(len(self.periods)))

    def read(self, asked):
        t = np.arange(self.rows)[:, None]
        return [Recording("waves", "waves", np.sin(2 * np.pi * t / np.array(self.periods)))]
'''
WAVES = """
[data]
source = "waves"
rows = 120
periods = [8.0, 12.0, 30.0]
window = 20

[data.split]
by = "time"

[model]
task = "forecast"
targets = ["wave_1"]
horizon = 2
hidden_size = 4

[train]
epochs = 2
accelerator = "cpu"
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package as pip leaves it, with its own keys."""
    site = tmp_path / "site"
    information = site / "toy_waves-1.0.dist-info"
    information.mkdir(parents=True)
    (site / "toy_waves.py").write_text(TOY)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-waves\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[edge_lstm.sources]\nwaves = toy_waves\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setitem(sys.modules, "toy_waves", None)  # so that it is taken out afterwards
    del sys.modules["toy_waves"]


@pytest.mark.usefixtures("toy")
def test_a_source_from_outside_trains(configure: Configure, tmp_path: Path) -> None:
    config = configure(WAVES)
    splits = load_data(config)
    assert splits.channels == ("wave_0", "wave_1", "wave_2")
    # 0.7 of 120
    np.testing.assert_array_equal(splits.train[0].x[:, 1], np.sin(2 * np.pi * np.arange(84) / 12))
    run = train(config, tmp_path / "run", quiet=True)
    assert run.spec.answer.targets == ("wave_1",)
    assert load_config(tmp_path / "run" / "config.toml").to_dict() == config.to_dict()
    again = load_run(tmp_path / "run")
    assert again.config == config
    assert again.splits.fingerprint == splits.fingerprint


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(
    ("text", "changes", "answer"),
    [
        (
            WAVES,
            {"data.source": "wavs"},
            "[data] source = \"wavs\": unknown source 'wavs'; did you mean 'waves'\\? "
            "known here: aeon, .* wav, waves$",
        ),
        (WAVES, {"data.rows": 0}, r"\[data\] rows = 0: expected greater than or equal to 1"),
        (WAVES, {"data.row": 5}, r"\[data\] has no key 'row'; did you mean 'rows'\?"),
        (
            WAVES,
            {"data.path": "x"},
            "path = .*is for sources 'csv', .*, and source is 'waves'; remove it",
        ),
        (
            CLASSIFY,
            {"data.periods": [3.0]},
            r"periods = \[3.0\]: is for source 'waves', and source is 'csv'; remove it",
        ),
    ],
)
def test_mistakes_in_the_keys_of_a_source_from_outside(
    tmp_path: Path, text: str, changes: dict[str, object], answer: str
) -> None:
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(
        ConfigError, match=answer.replace("[data] source", r"\[data\] source")
    ) as caught:
        load_config(tmp_path / "c.toml", changes)
    assert len(str(caught.value).splitlines()) == 1


def test_without_the_package_the_source_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(WAVES)
    with pytest.raises(
        ConfigError,
        match=rf"^{tmp_path}/c.toml:3: \[data\] source = \"waves\": unknown source 'waves'; "
        r"did you mean 'wav'\? known here: aeon, ",
    ):
        load_config(tmp_path / "c.toml")
