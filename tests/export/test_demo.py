"""`edge-lstm demo`, with a run that is there already and without the vendor's converter."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from edge_lstm import Run
from edge_lstm_export import export_run, pipeline
from edge_lstm_export.cli import demo


def test_the_folder_has_the_data_as_tables_beside_the_bundle(
    trained: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(demo, "train", lambda *_: trained)
    monkeypatch.setattr(
        pipeline,
        "export_run",
        lambda run, out, say, **_: export_run(run, out, targets=(), say=say),
    )
    out = tmp_path / "demo"
    (out / "run" / "old").mkdir(parents=True)
    for name in ("motions.edge", "motions-rk3588-fp16-cell.log", ".motions.edge.lock"):
        (out / name).write_text("of an earlier demo")
    said: list[str] = []
    assert demo.demo(out, said.append) == 0
    assert {path.name for path in out.iterdir()} == {
        "motions.edge", "motions.html", "recording.csv", "recordings.csv"
    }  # fmt: skip
    with (out / "recordings.csv").open() as file:
        head, *rows = csv.reader(file)
    assert head == ["recording", "activity", "ax", "ay", "az", "gx", "gy", "gz"]
    # The archive's description of BasicMotions: 40 and 40 recordings of 100 steps, 4 classes.
    assert Counter(row[0] for row in rows) == {str(k): 100 for k in range(80)}
    assert Counter(row[1] for row in rows) == dict.fromkeys(
        ("badminton", "running", "standing", "walking"), 2000
    )
    tested = trained.splits.test
    written = np.array([row[2:] for row in rows[-100 * len(tested) :]], float)
    np.testing.assert_array_equal(written, np.concatenate([s.x for s in tested]))
    streamed = np.loadtxt(out / "recording.csv", delimiter=",", skiprows=1)
    np.testing.assert_allclose(streamed, tested[0].x, rtol=1e-8)
    assert "numpy " in capsys.readouterr().out
    assert str(out / "motions.html") in said[-1]
