"""Every case of labels, in every format: as stated, or refused in one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cases.copies import configured
from cases.labels import CASES, KEYS, SOURCES, Labelled
from edge_lstm.data.load import load_data
from edge_lstm.data.recordings import Recording
from edge_lstm.data.statistics import make_spec
from edge_lstm_runtime.errors import ConfigError, DataError
from edge_lstm_runtime.model.spec import ModelSpec
from edge_lstm_runtime.tasks.classify import Classify

TAKEN = [(case, form) for case in CASES for form in SOURCES if form not in case.not_in]


@pytest.mark.parametrize(("case", "form"), TAKEN, ids=[f"{c.name[:40]}-{f}" for c, f in TAKEN])
def test_a_case(tmp_path: Path, case: Labelled, form: str) -> None:
    expected = case.but.get(form, case.read)
    if isinstance(expected, str):
        with pytest.raises((ConfigError, DataError), match=re.escape(expected)) as refused:
            trained(tmp_path, case, form)
        assert len(str(refused.value).splitlines()) == 1
        return
    first, spec = trained(tmp_path, case, form)
    assert first.labels is not None
    assert first.labels.tolist() == list(expected)
    assert isinstance(spec.answer, Classify)
    assert sorted(spec.answer.classes) == sorted(set(expected))


def trained(folder: Path, case: Labelled, form: str) -> tuple[Recording, ModelSpec]:
    keys = {**KEYS.get(form, {}), **({} if form == "npz" else {"label": "y"}), **case.keys}
    task = {"task": "classify"}
    config = configured(folder, SOURCES[form], case.content(form), case.channels, keys, task)
    first = config.data.read(config.asked)[0]
    return first, make_spec(config, load_data(config))
