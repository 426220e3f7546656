"""w8a8 on the converter's simulator, for inputs some of which have heavy tails.

One large value sets the step of an int8 grid for all others. So the features have a float16 product
of their own.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_lstm import load_config, train
from edge_lstm_export import export_run
from helpers.converter import NEEDS_CONVERTER
from helpers.on_request import ON_REQUEST
from helpers.simulated import simulated

pytestmark = [pytest.mark.slow, NEEDS_CONVERTER]
CHANNELS = 64
HEAVY = 20  # of them are Student-t with 2 degrees of freedom
STEPS = 400


def recording(name: str, rng: np.random.Generator) -> list[str]:
    """Two targets, running means of products and sums of four channels."""
    x = rng.normal(size=(STEPS, CHANNELS))
    x[:, :HEAVY] = rng.standard_t(2, size=(STEPS, HEAVY))
    added = [np.tanh(x[:, 0]) + x[:, 30], x[:, 5].clip(-3, 3) * x[:, 40]]
    mean = np.zeros(2)
    rows = []
    for values, both in zip(x, np.stack(added, axis=1), strict=True):
        mean = 0.9 * mean + 0.1 * both
        rows.append(",".join([name, *(f"{v:.5f}" for v in (*values, *mean))]))
    return rows


@ON_REQUEST
def test_a_few_inputs_with_heavy_tails_do_not_ruin_int8(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = [f"train{k}" for k in range(60)] + [f"val{k}" for k in range(10)]
    names += [f"test{k}" for k in range(20)]
    channels = [f"ch{k}" for k in range(CHANNELS)]
    rows = [",".join(["unit", *channels, "a", "b"])]
    for name in names:
        rows += recording(name, rng)
    (tmp_path / "heavy.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "config.toml").write_text(
        f'[data]\nsource = "csv"\npath = "heavy.csv"\nchannels = {channels}\ngroup = "unit"\n'
        f"[data.split]\nby = 'group'\nval = {names[60:70]}\ntest = {names[70:]}\n"
        "[model]\ntask = 'regress'\ntargets = ['a', 'b']\nhidden_size = 64\n"
        "[train]\nepochs = 40\nlearning_rate = 0.01\nbatch_size = 10\n"
    )
    run = train(load_config(tmp_path / "config.toml"), tmp_path / "run", quiet=True)
    work = export_run(run, tmp_path / "heavy.edge", schemes=("w8a8",))
    judged = work.judgements[simulated("rk3588-w8a8.rknn")]
    assert {p.steps for p in judged.passes.values()} == {20 * STEPS}
    for how in ("reset", "never reset"):
        assert judged.passes[how].nrmse <= 1e-2, judged.sentence
