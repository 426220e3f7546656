"""Every case of labels, in every format: as stated, or refused in one line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cases.labels import CASES, KEYS, SOURCES, Labelled
from edge_lstm.config.load import load_config
from edge_lstm.data.load import load_data
from edge_lstm.data.recordings import Recording
from edge_lstm.data.statistics import make_spec
from edge_lstm_runtime.errors import ConfigError, DataError
from edge_lstm_runtime.model.spec import ModelSpec
from edge_lstm_runtime.tasks.classify import Classify

CONFIG = """
[data]
source = "{source}"
path = ["1.{source}", "2.{source}", "3.{source}"]
channels = {channels}
{keys}

[data.split]
by = "group"
val = ["2{case}"]
test = ["3{case}"]

[model]
task = "classify"
hidden_size = 2

[train]
epochs = 1
"""
TAKEN = [(case, form) for case in CASES for form in SOURCES if form not in case.not_in]


@pytest.mark.parametrize(("case", "form"), TAKEN, ids=[f"{c.name[:40]}-{f}" for c, f in TAKEN])
def test_a_case(tmp_path: Path, case: Labelled, form: str) -> None:
    source = SOURCES[form]
    content = case.content(form)
    for k in "123":
        (tmp_path / f"{k}.{source}").write_bytes(content)
    keys = dict(KEYS.get(form, {})) if form == "npz" else {**KEYS.get(form, {}), "label": "y"}
    text = CONFIG.format(
        source=source,
        channels=json.dumps(case.channels),
        keys="\n".join(f"{key} = {json.dumps(value)}" for key, value in keys.items()),
        case=":0" if form == "npz" else "",
    )
    (tmp_path / "config.toml").write_text(text)
    expected = case.but.get(form, case.read)
    if isinstance(expected, str):
        with pytest.raises((ConfigError, DataError), match=re.escape(expected)) as refused:
            trained(tmp_path)
        assert len(str(refused.value).splitlines()) == 1
        return
    first, spec = trained(tmp_path)
    assert first.labels is not None
    assert first.labels.tolist() == list(expected)
    assert isinstance(spec.answer, Classify)
    assert sorted(spec.answer.classes) == sorted(set(expected))


def trained(folder: Path) -> tuple[Recording, ModelSpec]:
    config = load_config(folder / "config.toml")
    first = config.data.read(config.asked)[0]
    return first, make_spec(config, load_data(config))
