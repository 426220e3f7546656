"""int8 for CPUs on a net that counts, whose state sums up every error."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge_lstm import Run, load_config, train
from edge_lstm_export import export_run
from edge_lstm_export.quantize.gptq import made_up
from edge_lstm_runtime import Reference, compare, load
from helpers.commands import here

LONG = pytest.param(100_000, marks=pytest.mark.slow)


def rows_of(steps: int, seed: int) -> list[str]:
    """pulse, clear and the count of pulses since the last clear."""
    rng = np.random.default_rng(seed)
    count = 0
    rows = []
    for pulse, clear in zip(rng.random(steps) < 0.3, rng.random(steps) < 0.1, strict=True):
        count = 0 if clear else count + int(pulse)
        rows.append(f"{int(pulse)},{int(clear)},{count}")
    return rows


@pytest.fixture(scope="module", params=[10_000, LONG])
def counting(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("counting")
    units = {f"{'val' if k < 8 else 'train'}{k}": rows_of(400, k) for k in range(48)}
    units["test"] = rows_of(request.param, 100)
    lines = [f"{unit},{row}" for unit, rows in units.items() for row in rows]
    (folder / "count.csv").write_text("\n".join(["unit,pulse,clear,count", *lines]) + "\n")
    val = ", ".join(f'"val{k}"' for k in range(8))
    (folder / "config.toml").write_text(
        '[data]\nsource = "csv"\npath = "count.csv"\nchannels = ["pulse", "clear"]\n'
        f'group = "unit"\n[data.split]\nby = "group"\nval = [{val}]\ntest = ["test"]\n'
        '[model]\ntask = "regress"\ntargets = ["count"]\nhidden_size = 16\n'
        "[train]\nepochs = 40\nlearning_rate = 0.01\nbatch_size = 8\n"
    )
    return train(load_config(folder / "config.toml"), folder / "run", quiet=True)


def test_a_count_over_many_steps_stays_right_in_int8(
    counting: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    work = export_run(counting, tmp_path / "count.edge", schemes=())
    manifest = load(work.out).manifest["native_int8"]
    found = manifest["test_split"]["passes"]["reset"]["nrmse"]
    assert found <= 5e-3
    spec = counting.spec
    rows = spec.inputs.features(counting.splits.test[0].x)[0].astype(np.float32)
    with load(work.out).session("native-int8") as session:
        found_again = compare(
            session.backend.run(rows), Reference(spec, counting.weights).run(rows)
        )
    assert found == pytest.approx(found_again.nrmse, rel=1e-3)
    # Other data than the golden: another stream of the same kind, longer than the golden.
    own = tmp_path / "own.csv"
    own.write_text("pulse,clear,count\n" + "\n".join(rows_of(len(rows), 101)) + "\n")
    own_samples = ("check", work.out, "--backend", "native-int8", "--json", "--input", own)
    code, out, _ = here(capfd, *own_samples)
    checked = json.loads(out)
    assert (code, checked["passed"], checked["steps"]) == (0, True, len(rows))
    assert checked["nrmse"] <= 5e-3
    assert checked["limit"] == {"nrmse": manifest["tolerance"]["limit"]}


def test_weights_make_up_for_pulses_that_are_always_rounded_alike() -> None:
    """Two pulses have four values, and each is rounded to the same side every time."""
    rng = np.random.default_rng(0)
    exact = (rng.random((4000, 2)) < (0.3, 0.1)) / (0.458, 0.3) - (0.655, 0.333)
    step = np.abs(exact).max(axis=1, keepdims=True) / 127
    v = np.rint(exact / step) * step
    W = rng.uniform(-1, 1, size=(2, 8))
    with_bias = np.concatenate([v, np.ones((4000, 1))], axis=1)
    best = np.linalg.lstsq(with_bias, exact @ W)[0][:2]
    before = (v @ W - exact @ W).std(axis=0)
    found = made_up(W, v, exact)
    np.testing.assert_allclose(found, best, atol=1e-6)
    assert np.abs(best - W).max() > 5e-4, "no example of it"
    after = (v @ found - exact @ W).std(axis=0)
    assert (after < before).all()
    assert after.sum() < 0.8 * before.sum()
