"""What may be changed, and the configurations that the changes give."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_lstm.config.load import load_config
from edge_lstm.config.schema import Config
from edge_lstm.search.space import Choice, Range, Space, space_of
from edge_lstm_runtime.errors import ConfigError

CONFIG = """
[data]
source = "csv"
path = "data.csv"
channels = ["a", "b"]
window = 20
[data.split]
by = "time"
[model]
task = "forecast"
horizon = 3
hidden_size = 16
num_layers = 2
dropout = 0.1
[train]
epochs = 2
learning_rate = 0.004
weight_decay = 0.0
refit = true
"""
Configure = Callable[..., Config]


def dimensions(config: Config) -> dict[str, Any]:
    return {d.name: d for d in space_of(config).dimensions}


def test_ranges_follow_from_the_configuration(configure: Configure) -> None:
    found = dimensions(configure(CONFIG))
    assert found == {
        "type": Choice("type", ("gru", "lstm", "rnn")),
        "hidden_size": Range("hidden_size", 4, 32, whole=True),
        "num_layers": Range("num_layers", 1, 2, log=False, whole=True),
        "learning_rate": Range("learning_rate", 0.001, 0.016),
        "weight_decay": Range("weight_decay", 0.0001, 0.1),
        "window": Choice("window", (10, 20)),
        "transforms": Choice("transforms", ("configured", "difference", "distance")),
    }


def test_a_shorter_window_skips_no_rows(configure: Configure) -> None:
    """With the stride of the longer one, half of the rows would be in no window."""
    config = configure(CONFIG.replace("window = 20", "window = 20\nstride = 15"))
    space = space_of(config)
    values = space.start(config)
    strides = {w: space.apply(config, {**values, "window": w}).data.stride for w in (10, 20)}
    assert strides == {10: 10, 20: 15}
    apart = configure(CONFIG.replace("window = 20", "window = 20\nstride = 40"))  # as asked
    assert space.apply(apart, {**values, "window": 10}).data.stride == 40


def test_ranges_of_the_section(configure: Configure) -> None:
    section = """
[search]
hidden_size = [2, 6]
num_layers = [1, 1]
types = ["gru"]
learning_rate = [0.01, 0.01]
weight_decay = [0, 0]
window = [5, 10, 20]
transforms = ["distance"]
"""
    space = space_of(configure(CONFIG + section))
    assert space.dimensions == (
        Range("hidden_size", 2, 6, whole=True),
        Choice("window", (5, 10, 20)),
    )
    assert space.fixed == {
        "type": "gru",
        "num_layers": 1,
        "learning_rate": 0.01,
        "weight_decay": 0,
        "transforms": "distance",
    }


def test_data_with_transforms_keeps_them(configure: Configure) -> None:
    own = 'window = 20\n[[data.transforms]]\ntype = "difference"\nlag = 2'
    config = configure(CONFIG, ("window = 20", own))
    assert space_of(config).fixed["transforms"] == "configured"
    changed = Space((), {**_own(), "transforms": "distance"}).apply(config, {})
    assert [t.type for t in changed.data.derivation.transforms] == ["difference", "distance"]


def _own() -> dict[str, Any]:
    return {
        "type": "rnn",
        "hidden_size": 5,
        "num_layers": 1,
        "learning_rate": 0.02,
        "weight_decay": 0.003,
        "window": 10,
        "transforms": "configured",
    }


def test_a_changed_configuration_is_one_that_can_be_read(
    tmp_path: Path, configure: Configure
) -> None:
    config = configure(CONFIG)
    for transforms in ("configured", "difference", "distance"):
        values = {**_own(), "transforms": transforms}
        changed = space_of(config).apply(config, values)
        assert not list(changed.rules())
        assert changed.model.dropout == 0  # one layer has none after it
        (tmp_path / "changed.toml").write_text(changed.to_toml())
        read = load_config(tmp_path / "changed.toml")
        assert read.to_dict() == changed.to_dict()
        assert (read.model.type, read.model.hidden_size, read.data.window) == ("rnn", 5, 10)
        assert len(read.data.derivation.transforms) == (transforms != "configured")


def test_the_start_is_the_configuration_or_next_to_it(configure: Configure) -> None:
    config = configure(CONFIG + "[search]\nhidden_size = [2, 6]\ntypes = ['gru', 'rnn']\n")
    start = space_of(config).start(config)
    assert start == {
        "type": "gru",
        "hidden_size": 6,
        "num_layers": 2,
        "learning_rate": 0.004,
        "weight_decay": 0.0001,
        "window": 20,
        "transforms": "configured",
    }


def test_a_space_survives_json(configure: Configure) -> None:
    space = space_of(configure(CONFIG))
    assert Space.from_dict(space.to_dict()) == space


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("hidden_size = [8, 4]", r"\[search\] hidden_size = \[8, 4\]: expected the lower end"),
        ("hidden_size = [4, 100000]", r"expected at most 16384 units"),
        ("hidden_size = 8", r"\[search\] hidden_size"),
        ("num_layers = [1, 9]", r"expected at most 4 layers"),
        ("weight_decay = [0, 0.1]", r"expected both ends above 0"),
        ("learning_rate = [0, 0.1]", r"\[search\] learning_rate"),
        ('types = ["lsmt"]', r"expected names among .*, and 'lsmt' is not"),
        ('types = ["gru", "gru"]', r"expected each one once"),
        ('formats = ["int4"]', r"\[search\] formats"),
        ("draws = 0", r"\[search\] draws"),
        ("seeds = 3", r"\[search\] has no key 'seeds'"),
    ],
)
def test_a_wrong_section(configure: Configure, section: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as e:
        configure(f"{CONFIG}[search]\n{section}\n")
    assert "\n" not in str(e.value)


def test_windows_for_whole_sequences(configure: Configure) -> None:
    with pytest.raises(ConfigError, match=r"\[search\] window = \[5\]: training takes whole"):
        configure(CONFIG + "[search]\nwindow = [5]\n", ("window = 20\n", ""))


def test_a_run_neither_keeps_nor_compares_the_section(configure: Configure) -> None:
    plain = configure(CONFIG)
    searched = configure(CONFIG + "[search]\nhidden_size = [2, 6]\n")
    assert searched.to_dict() == plain.to_dict()
    assert "search" not in searched.to_toml()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "hidden_size = 16\nnum_layers = 2\ndropout = 0.1",
            'layers = [{type = "lstm", units = 4}]',
            r"\[model\] layers: a search changes",
        ),
        ("[train]", "[train]\nnum_nodes = 2", r"\[train\] num_nodes = 2: a search trains each net"),
        ("[train]", "[train]\ndevices = 2", r"\[train\] devices = 2: a search trains each net"),
        (
            "[train]",
            "[prune]\nhidden_size = 4\n[train]",
            r"\[prune\]: a search changes the sizes",
        ),
        (
            "[train]",
            "[distill]\nhidden_size = 64\n[train]",
            r"\[distill\]: a search changes the sizes",
        ),
    ],
)
def test_configurations_that_can_not_be_searched(
    configure: Configure, old: str, new: str, said: str
) -> None:
    config = configure(CONFIG, (old, new), ("refit = true\n", ""))
    with pytest.raises(ConfigError, match=said):
        space_of(config)
