"""The forms for the converter on ONNX Runtime, and the int8 recipe, against the reference."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from edge_lstm.emulate.npu_ranges import on_grid
from edge_lstm_export import targets
from edge_lstm_export.graphs.form import traced_outputs
from edge_lstm_export.graphs.npu import FORMS, fused
from edge_lstm_export.npu.rknn.convert import candidates
from edge_lstm_export.npu.rknn.trace import reference_trace
from edge_lstm_export.quantize import npu_int8
from edge_lstm_runtime import Reference, compare
from edge_lstm_runtime.backends.rknn.packing import PINS, Packing
from helpers.calibration import calibration_for
from helpers.specs import feature_rows


def run_on_ort(spec, form, rows):
    """(steps, outputs): every output of each run, its state carried by the runtime's packing."""
    session = onnxruntime.InferenceSession(
        form.graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    states = spec.network.state
    packing = Packing(form.recipe["io"], features=spec.feature_size, states=states)
    inputs = session.get_inputs()
    answers = []
    for n in range(0, len(rows), packing.steps):
        packing.put(rows[n : n + packing.steps] if packing.steps > 1 else rows[n])
        feed = {
            i.name: array.reshape(i.shape) for i, array in zip(inputs, packing.inputs, strict=True)
        }
        outputs = session.run(None, feed)
        answers.append((packing.take(outputs[: 1 + len(states)]), outputs))
    return np.concatenate([y for y, _ in answers]), [outputs for _, outputs in answers]


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("steps", [1, 4])
def test_the_fused_operator_with_its_head(random_model, layers, steps):
    spec, weights = random_model(layers, 16, outputs=3)
    rows = feature_rows(spec, 400)
    found, _ = run_on_ort(spec, fused(spec, weights, {}, steps=steps), rows)
    assert compare(found, Reference(spec, weights).run(rows)).max_abs < 1e-5


@pytest.mark.parametrize("layers", [1, 2])
def test_the_packed_cell_and_its_emulation(random_model, layers):
    """The emulation rounds the sums of the rounded products. ONNX Runtime does not."""
    spec, weights = random_model(layers, 32, outputs=3)
    calibration = calibration_for(spec, weights)
    rows = feature_rows(spec, 400)
    reference = Reference(spec, weights).run(rows)
    form = FORMS["packed"](spec, weights, calibration)
    found, _ = run_on_ort(spec, form, rows)
    assert compare(found, reference).nrmse < 1e-2
    products = npu_int8.quantize(spec, weights, calibration)
    emulated = npu_int8.emulate(spec, weights, [products], rows[None])[0, 0]
    assert compare(emulated, reference).nrmse < 2e-2


def test_rounding_that_looks_ahead_beats_rounding_to_nearest(random_model):
    spec, weights = random_model(1, 32)
    calibration = calibration_for(spec, weights)
    (product,) = npu_int8.quantize(spec, weights, calibration).values()
    v = on_grid(calibration["lstm0.h"])
    exact = weights["lstm0.W_h"] / product.scale
    step = np.abs(exact).max(axis=0) / 127
    nearest = step * np.rint(exact / step)
    ours, plain = (np.square(v @ (W - exact)).mean() for W in (product.weights[PINS:], nearest))
    assert ours < 0.5 * plain


def test_weights_are_integers_of_the_step_that_the_converter_will_take(random_model):
    spec, weights = random_model(2, 16)
    calibration = calibration_for(spec, weights, 300)
    for product in npu_int8.quantize(spec, weights, calibration).values():
        W = product.weights
        step = (W.max(axis=0) - W.min(axis=0)) / 255
        integers = W / step
        np.testing.assert_allclose(integers, np.rint(integers), atol=1e-6)
        assert np.abs(integers).max() <= 128 + 1e-6


@pytest.mark.parametrize("form", ["cell", "packed"])
@pytest.mark.parametrize("layers", [1, 2])
def test_traced_tensors_are_the_references(random_model, form, layers):
    spec, weights = random_model(layers, 16)
    rows = feature_rows(spec, 60)
    made = FORMS[form](spec, weights, calibration_for(spec, weights))
    traced = made.with_traces(spec)
    sizes = traced_outputs(spec, made)
    assert [o.name for o in traced.graph.graph.output] == list(sizes)
    assert len(sizes) == 1 + layers * {"cell": 9, "packed": 7}[form]
    _, runs = run_on_ort(spec, traced, rows)
    reference = reference_trace(spec, weights, rows, made)
    # packed has int8 products. A tensor under a wrong name is off by about 1.
    limit = 1e-5 if form == "cell" else 0.2
    for n, name in enumerate(sizes):
        found = np.stack([outputs[n].ravel() for outputs in runs])
        assert compare(found, reference[name]).nrmse < limit, name


def test_every_scheme_has_forms():
    for target in targets().values():
        for scheme in target.schemes:
            forms = candidates(target.name, scheme)
            assert set(forms) <= set(FORMS)
            assert ("packed" in forms) == (scheme == "w8a8" and "fp16" in target.schemes)
