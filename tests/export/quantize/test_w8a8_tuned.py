"""A net fine-tuned for w8a8 and the same net without it, by the real converter and simulator."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edge_lstm import load_config, train
from edge_lstm.network import CompactNet, canonical_weights
from edge_lstm.training import checkpoint
from edge_lstm_export import export_run
from edge_lstm_export.measure.keys import NUMPY
from edge_lstm_export.quantize import npu_int8
from edge_lstm_runtime import compare, load
from helpers.converter import NEEDS_CONVERTER
from helpers.simulated import simulated

ARTIFACT = simulated("rk3588-w8a8.rknn")

pytestmark = [pytest.mark.slow, NEEDS_CONVERTER]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("w8a8")
    config = load_config(
        "recipe:activity",
        {"model.hidden_size": 16, "quantize.scheme": "w8a8", "quantize.tolerance": 0.0},
    )
    run = train(config, folder / "run", quiet=True)
    return run, export_run(run, folder / "tuned.edge", schemes=("w8a8",))


def points_lost(work, metric):
    return 100 * (work.metrics[NUMPY][metric] - work.metrics[ARTIFACT][metric])


def test_the_converted_model_is_what_training_emulated(tuned):
    run, work = tuned
    found = run.metrics["quantize"]
    assert found["best_epoch"] >= 1
    assert work.artifacts["rk3588-w8a8.rknn"].form.name == "packed"
    assert (
        "rk3588-w8a8.rknn: weights and ranges are those that it was fine-tuned with" in work.notes
    )
    assert work.accuracy[ARTIFACT].comparison.nrmse <= 1e-2
    for metric in ("accuracy", "accuracy_all_steps"):
        assert points_lost(work, metric) <= 0.5
        # The simulator's float16 moves an answer or two of 4,000 that training emulated.
        assert work.metrics[ARTIFACT][metric] == pytest.approx(
            found["after"]["w8a8"]["test"][metric], abs=5e-3
        )
    # Each is one step from zero, so that no rounding is carried on: NumPy's integers, and float16
    # alone beside them.
    products = npu_int8.learned_layers(run.spec, run.weights, run.w8a8)
    converter = work.artifacts["rk3588-w8a8.rknn"].converter
    rows = work.rows[:40, None]
    emulated = npu_int8.emulate(run.spec, run.weights, [products], rows)[0, :, 0]
    with load(work.out).session("rknn-sim", artifact="rk3588-w8a8.rknn") as session:
        answered = []
        for x in work.stream[:40]:
            session.reset()
            answered.append(session.step(x))
    assert converter.rknn.startswith(b"RKNN")
    assert np.median(np.abs(np.stack(answered) - emulated)) < 1e-3
    assert compare(np.stack(answered), emulated).nrmse < 1e-2


def test_without_fine_tuning_the_same_net_is_rounded_afterwards(tuned, tmp_path, record_property):
    """The float model that fine-tuning began with. It need not be worse: the report has both."""
    run, work = tuned
    model = CompactNet(run.spec)
    model.load_state_dict(checkpoint.load(run.path / "float.pt")["model"])
    plain = dataclasses.replace(run, model=model.eval(), weights=canonical_weights(model), w8a8={})
    rounded = export_run(plain, tmp_path / "plain.edge", schemes=("w8a8",))
    assert not any("fine-tuned with" in note for note in rounded.notes)
    for name, made in (("rounded", rounded), ("fine-tuned", work)):
        record_property(f"NRMSE on the simulator, {name}", made.accuracy[ARTIFACT].comparison.nrmse)
        record_property(
            f"accuracy on the simulator, every step, {name}",
            made.metrics[ARTIFACT]["accuracy_all_steps"],
        )
    assert rounded.accuracy[ARTIFACT].comparison.nrmse <= 0.1
    assert points_lost(rounded, "accuracy") <= 0.5
