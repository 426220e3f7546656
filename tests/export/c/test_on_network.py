"""A folder whose steps can run on another network: the samples and answers are made as before."""

from __future__ import annotations

import ctypes
import shutil

import numpy as np
import pytest

from edge_lstm_export import export_c
from edge_lstm_export.c.samples import Samples
from edge_lstm_export.c.style import CStyle
from edge_lstm_export.npu.in_c import InC
from edge_lstm_runtime import load
from edge_lstm_runtime.session import answers
from helpers.c_folder import (
    STRICT,
    masked_bundle,
    quantiles_bundle,
    run,
    sources,
    timed_detector_bundle,
)
from helpers.derived import derived_bundle

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed"),
]
ECHO = """\
/* A network that keeps the features and answers with their sum, less k for output k. */
#include <string.h>
#include "../include/model.h"
float kept[MODEL_FEATURES];
static el_status step(const float features[MODEL_FEATURES], float outputs[MODEL_OUTPUTS]) {
    float sum = 0.0f;
    memcpy(kept, features, sizeof kept);
    for (int k = 0; k < MODEL_FEATURES; k++) sum += features[k];
    for (int k = 0; k < MODEL_OUTPUTS; k++) outputs[k] = sum / 10.0f - (float)k;
    return EL_OK;
}
static void reset(void) {}
static void state(float *values) { memset(values, 0, sizeof(float) * MODEL_STATE_VALUES); }
const model_network echo = {step, reset, state};
"""
CASES = {
    "mask": (masked_bundle, "double"),
    "mask-float": (masked_bundle, "float"),
    "elapsed": (timed_detector_bundle, "double"),
    "quantiles": (quantiles_bundle, "double"),
    "derived": (derived_bundle, "double"),
}


@pytest.mark.parametrize("case", CASES)
def test_samples_and_answers_are_those_of_the_runtime(case, tmp_path, monkeypatch):
    make, kind = CASES[case]
    file = make(tmp_path / "m.edge")
    given = InC({"echo.c.j2": ECHO}, {}, "an echo")
    monkeypatch.setattr("edge_lstm_export.c.export.npu_source", lambda *_: given)
    style = CStyle(samples=Samples(kind), npu="ethos-u55-128")  # has C source, for the check
    folder = export_c(file, tmp_path / "c", style=style).folder
    # The export has run the self-test, on the kernel.
    done = run(
        *("gcc", "-std=gnu99", "-O1", "-shared", "-fPIC", "-Iinclude", *STRICT.split()),
        *(*sources(folder), "ethos-u/echo.c", "-lm", "-o", "echo.so"),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    built = ctypes.CDLL(str(folder / "echo.so"))
    model = load(file)
    spec = model.spec
    kept = (ctypes.c_float * spec.inputs.feature_size).in_dll(built, "kept")
    assert built.model_init() == 0
    assert built.model_run_on(ctypes.byref(ctypes.c_char.in_dll(built, "echo"))) == 0
    dtype = np.float32 if kind == "float" else np.float64
    samples = model.bundle.golden[0][:100].astype(dtype)
    rows, filled = spec.inputs.features(samples.astype(np.float64))
    answer = np.empty(spec.answer.size, np.float32)
    for t, sample in enumerate(samples):
        given_sample = np.ascontiguousarray(sample)
        pointers = (ctypes.c_void_p(a.ctypes.data) for a in (given_sample, answer))
        assert built.model_step(*pointers) == 0
        limit = 1e-5 if kind == "float" else 1e-6
        np.testing.assert_allclose(np.array(kept), rows[t], rtol=limit, atol=limit)
        outputs = np.array(kept, np.float64).sum() / 10 - np.arange(spec.answer.size)
        scaling = spec.answer.scaling(spec.inputs)
        expected = answers(scaling, outputs[None], filled[t][None])[0]
        np.testing.assert_allclose(answer, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    assert built.model_run_on(None) == 0
    assert built.model_step(*(ctypes.c_void_p(a.ctypes.data) for a in (given_sample, answer))) == 0
    assert np.isfinite(answer).all()
