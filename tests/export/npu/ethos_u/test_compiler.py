"""The real ExecuTorch, Vela and TOSA's reference model."""

from __future__ import annotations

import numpy as np
import pytest

from edge_lstm_export.npu.ethos_u.compiled import Compiled, ReferenceModel
from edge_lstm_export.npu.ethos_u.conversion import Conversion
from edge_lstm_export.npu.ethos_u.environment import ENVIRONMENT
from edge_lstm_export.npu.ethos_u.targets import targets
from edge_lstm_runtime import Reference, compare
from helpers.calibration import calibration_for
from helpers.specs import feature_rows, mixed_spec, one_layer_spec
from helpers.weights import random_weights

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        ENVIRONMENT.unsupported_reason() is not None, reason=f"{ENVIRONMENT.unsupported_reason()}"
    ),
]
STEPS = 1000


@pytest.mark.parametrize(
    ("spec", "target", "scheme", "form", "limit"),
    [
        (one_layer_spec("lstm"), "ethos-u55-128", "a8w8", "mixed", 2e-2),
        (one_layer_spec("gru"), "ethos-u65-256", "a16w8", "plain", 1e-2),
        (mixed_spec(), "ethos-u85-256", "a16w8", "fine", 1e-3),
    ],
    ids=["lstm", "gru", "mixed"],
)
def test_all_runs_on_the_npu_and_our_integers_are_the_models(spec, target, scheme, form, limit):
    weights = random_weights(spec)
    samples = calibration_for(spec, weights, 400)
    rows = feature_rows(spec, STEPS)
    conversion = Conversion(spec, weights, samples, targets()[target], scheme, form)
    with Compiled(conversion) as made:
        assert made.on_cpu == 0
        assert {row["Target"] for row in made.operators} == {"NPU"}
        assert made.cycles > 100
        model = ReferenceModel(made)
        ours = made.integers()
        expected = model.run(rows)
        assert np.array_equal(ours.run(rows), expected)
        assert all(np.array_equal(a, ours.state[n]) for n, a in model.state.items())
        assert compare(expected, Reference(spec, weights).run(rows)).nrmse < limit
        model.reset()
        assert np.array_equal(model.run(rows[:3]), expected[:3])
        carried = model.state
        again = model.run(rows[3:6])
        model.state = carried
        assert np.array_equal(model.run(rows[3:6]), again)
        files = made.files_of
        assert files["pte"][4:8] == b"ET12"  # of ExecuTorch's flatbuffer
        assert files["flatbuffer"][4:8] == b"TOSA"
        # Of TFLite's: all is one operator of the delegate.
        assert files["tflite"][4:8] == b"TFL3"
        assert files["tflite"].count(b"ethos-u") == 1
