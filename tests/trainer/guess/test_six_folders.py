"""From six folders of other people's data to answers, without editing anything."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from edge_lstm_runtime import cli
from helpers.paths import ROOT
from helpers.six_folders import NAMES, is_number, make, samples

PLACES = [Path(p) for p in (os.environ.get("EDGE_LSTM_DATA"), ROOT.parent / "shared" / "data") if p]
DATA = next((p for p in PLACES if (p / "fsdd").is_dir()), None)
ANSWERS = {
    "occupancy": ("label", {"0", "1"}),
    "bikes": ("forecast", {"users"}),
    "digits": ("label", set("0123456789")),
    "speakers": ("label", {"george", "jackson", "lucas", "nicolas", "theo", "yweweler"}),
    "motions": ("label", {"badminton", "running", "standing", "walking"}),
    "weather": ("forecast", {"temp"}),
}


@pytest.mark.slow
@pytest.mark.skipif(DATA is None, reason="set EDGE_LSTM_DATA to the folder that holds fsdd/")
@pytest.mark.parametrize("name", NAMES)
def test_init_train_export_run(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert DATA is not None
    source = make(name, DATA, tmp_path / "made", few=True)
    monkeypatch.chdir(tmp_path)
    for words in (
        f"init {source} --yes -o mine.toml",
        "train mine.toml -o run --set train.epochs=1 --device cpu",
        "export run --no-npu -o mine.edge",
    ):
        assert cli.main(words.split()) == 0, capsys.readouterr()
    capsys.readouterr()
    file = samples(name, source, tmp_path)
    assert cli.main(["run", "mine.edge", "--input", str(file), "--backend", "numpy"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    key, known = ANSWERS[name]
    assert len(answers) > 5
    assert all(key in answer for answer in answers)
    told = {answer[key] for answer in answers} if key == "label" else set(answers[-1][key])
    assert told <= known
    if key == "forecast":
        assert all(is_number(v) for v in answers[-1][key][next(iter(known))])
