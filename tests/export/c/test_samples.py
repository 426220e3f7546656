"""Samples in float and int16: the answers of double within the bound that docs/c-export.md states,
and nothing in double on a CPU whose FPU has none."""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_lstm_export import export_c
from edge_lstm_export.c.samples import Samples
from edge_lstm_export.c.style import CStyle
from edge_lstm_runtime import ConversionError, ModelSpec, Reference, load, write_bundle
from edge_lstm_runtime.cli import main
from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.model.npz import write_npz
from edge_lstm_runtime.tasks.forecast import Forecast
from helpers.arrays import Array
from helpers.c_folder import (
    STRICT,
    bundle_of,
    passed,
    quantiles_bundle,
    run,
    sources,
    timed_detector_bundle,
)
from helpers.derived import derived_bundle
from helpers.specs import chain, one_layer_spec
from helpers.weights import normal_weights

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
BOUND = 1e-5  # in units of the network's output
ROUNDING = 1.2e-7  # of the answer: it and the sum that it comes from are floats
STEPS = 3000
# The samples of one kind to the model of this kind, and the same numbers in double to the other.
PROGRAM = r"""
#include <stdio.h>
#include "d.h"
#include "s.h"
int main(void) {
    TYPE sample[S_CHANNELS];
    double same[D_CHANNELS];
    float answers[2][S_OUTPUTS];
    if (d_init() != D_OK || s_init() != S_OK) return 1;
    while (fread(sample, sizeof sample, 1, stdin) == 1) {
        if (fread(same, sizeof same, 1, stdin) != 1) return 2;
        if ((int)d_step(same, answers[0]) != (int)s_step(sample, answers[1])) return 3;
        fwrite(answers, sizeof answers, 1, stdout);
    }
    return 0;
}
"""


def channels_spec(missing: str, *, residual: bool) -> ModelSpec:
    """A pressure in Pa, a value near 0 and one of 1e6 deviations: what a float loses easily."""
    inputs = Channels(
        ("pressure", "flow", "count"),
        (101325.0, -3e-4, 1000000.03),
        (130.5, 2e-5, 1.0),
        missing=missing,
    )
    scale = (130.5, 2e-5) * 3
    offset = (0.5, 1e-6) * 3 if residual else (101325.0, -3e-4) * 3
    answer = Forecast(("pressure", "flow"), 3, offset, scale, residual=residual)
    return ModelSpec(inputs, chain(inputs.feature_size, 13, 1, 6), answer)


def samples_of(spec: ModelSpec, rng: np.random.Generator, steps: int) -> Array:
    inputs = spec.inputs
    assert isinstance(inputs, Channels)
    x = np.asarray(inputs.mean) + np.asarray(inputs.std) * rng.normal(size=(steps, inputs.size))
    if inputs.missing != "refuse":
        x[rng.random(x.shape) < 0.1] = np.nan
    return x


def written(spec: ModelSpec, path: Path) -> Path:
    rng = np.random.default_rng(11)
    weights = normal_weights(spec, rng)
    x = samples_of(spec, rng, 300)
    golden = write_npz({"x": x, "y": Reference(spec, weights).run(spec.features(x))})
    write_bundle(path, spec, weights, {"golden.npz": golden})
    return path


def exported(bundle: Path, folder: Path, samples: Samples, prefix: str) -> Path:
    return export_c(bundle, folder / prefix, style=CStyle(prefix, samples)).folder


def both(bundle: Path, folder: Path, samples: Samples, raw: Array) -> tuple[Array, Array]:
    """The answers (steps, O) of double and of these samples. raw: (steps, C) what C is given."""
    made = [
        exported(bundle, folder, Samples(), "d"),
        exported(bundle, folder, samples, "s"),
    ]
    (folder / "use.c").write_text(PROGRAM.replace("TYPE", samples.type))
    files = [source for one in made for source in sources(one)]
    paths = [f"-I{one / 'include'}" for one in made]
    flags = ["-std=gnu99", "-O1", *STRICT.split()]
    done = run("gcc", *flags, *paths, folder / "use.c", *files, "-o", folder / "use")
    assert done.returncode == 0, done.stderr
    scale = np.array(samples.scale or 1.0, np.float32).astype(np.float64)
    same = np.where(raw == -32768, np.nan, raw * scale) if samples.kind == "int16" else raw
    kind = {"float": "<f4", "int16": "<i2"}[samples.kind]
    rows = [a + b for a, b in zip(map(bytes, raw.astype(kind)), map(bytes, same), strict=True)]
    (folder / "in").write_bytes(b"".join(rows))
    done = run("bash", "-c", f"{folder / 'use'} < {folder / 'in'} > {folder / 'out'}")
    assert done.returncode == 0
    answers = np.fromfile(folder / "out", np.float32).reshape(len(raw), 2, -1)
    return answers[:, 0].astype(np.float64), answers[:, 1].astype(np.float64)


def close(spec: ModelSpec, double: Array, single: Array) -> None:
    scaling = spec.answer.scaling(spec.inputs)
    unit = 1.0 if scaling is None else np.abs(scaling.scale)
    assert np.isfinite(double).all()
    assert double.std() > 0
    assert (np.abs(single - double) <= BOUND * unit + ROUNDING * np.abs(double)).all()


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("missing", ["refuse", "ffill", "mask"])
@pytest.mark.usefixtures("unbuilt")
def test_float_samples_are_answered_as_in_double(
    missing: str, residual: bool, tmp_path: Path
) -> None:
    spec = channels_spec(missing, residual=residual)
    bundle = written(spec, tmp_path / "m.edge")
    raw = samples_of(spec, np.random.default_rng(12), STEPS).astype(np.float32)
    close(spec, *both(bundle, tmp_path, Samples("float"), raw.astype(np.float64)))


@pytest.mark.parametrize("missing", ["refuse", "mask"])
@pytest.mark.usefixtures("unbuilt")
def test_int16_samples_are_answered_as_in_double(missing: str, tmp_path: Path) -> None:
    spec = channels_spec(missing, residual=True)
    assert isinstance(spec.inputs, Channels)
    inputs = dataclasses.replace(spec.inputs, mean=(1013.25, -3e-4, -40.0), std=(1.3, 2e-5, 9.0))
    spec = dataclasses.replace(spec, inputs=inputs)
    bundle = written(spec, tmp_path / "m.edge")
    scale = (0.05, 1e-7, 0.02)
    x = samples_of(spec, np.random.default_rng(12), STEPS)
    counts = np.nan_to_num(np.round(x / np.array(scale, np.float32)), nan=-32768)
    assert (counts == -32768).any() == (missing == "mask")
    close(spec, *both(bundle, tmp_path, Samples("int16", scale), counts))


@pytest.mark.parametrize("kind", ["float", "int16"])
@pytest.mark.parametrize("scheme", ["float32", "int8"])
def test_the_self_test_passes(kind: str, scheme: str, tmp_path: Path) -> None:
    bundle = bundle_of(one_layer_spec("gru"), tmp_path / "m.edge")
    style = CStyle(samples=Samples(kind, (0.001,) if kind == "int16" else ()))
    made = export_c(bundle, tmp_path / "m", scheme=scheme, style=style)
    assert made.built.verdict.startswith("largest error")
    passed(run("make", f"CFLAGS=-O2 {STRICT}", "test", cwd=made.folder))
    golden = (made.folder / "examples" / "selftest" / "golden.h").read_text()
    assert f"static const {style.samples.type} golden_samples" in golden


@pytest.mark.parametrize(
    ("right", "wrong"), [("- model_far[k]", "+ model_far[k]"), ("+ model_rest[k]", "- 1e-2f")]
)
@pytest.mark.usefixtures("unbuilt")
def test_the_self_test_notices_a_wrong_step(right: str, wrong: str, tmp_path: Path) -> None:
    bundle = written(channels_spec("refuse", residual=True), tmp_path / "m.edge")
    made = export_c(bundle, tmp_path / "m", style=CStyle(samples=Samples("float"))).folder
    source = made / "src" / "model.c"
    text = source.read_text()
    assert text.count(right) == 1
    source.write_text(text.replace(right, wrong))
    assert "FAIL" in run("make", "test", cwd=made).stdout.splitlines()


@pytest.mark.usefixtures("unbuilt")
def test_a_bad_float_changes_nothing(tmp_path: Path) -> None:
    bundle = written(channels_spec("refuse", residual=False), tmp_path / "m.edge")
    made = export_c(bundle, tmp_path / "m", style=CStyle(samples=Samples("float"))).folder
    (tmp_path / "use.c").write_text(
        '#include <math.h>\n#include <string.h>\n#include "model.h"\n'
        "int main(void) {\n"
        "    const float good[] = {101300.0f, 0.0f, 1e6f}, bad[] = {101300.0f, 0.0f, NAN};\n"
        "    const float far[] = {101300.0f, 0.0f, -INFINITY};\n"
        "    float first[MODEL_OUTPUTS], y[MODEL_OUTPUTS];\n"
        "    if (model_init() != EL_OK || model_step(good, first) != EL_OK) return 1;\n"
        "    model_reset();\n"
        "    if (model_step(bad, y) != EL_NOT_FINITE || model_step(far, y) != EL_NOT_FINITE)\n"
        "        return 2;\n"
        "    return model_step(good, y) != EL_OK || memcmp(first, y, sizeof y) ? 3 : 0;\n}\n"
    )
    paths = [f"-I{made / 'include'}", "-o", tmp_path / "use"]
    assert run("gcc", *paths, tmp_path / "use.c", *sources(made)).returncode == 0
    assert run(tmp_path / "use").returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["refuse", "ffill", "mask"])
def test_sanitizers_find_nothing_in_samples_of_any_bits(missing: str, tmp_path: Path) -> None:
    flags = "-O1 -g -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all"
    bundle = written(channels_spec(missing, residual=True), tmp_path / "m.edge")
    made = export_c(bundle, tmp_path / "m", style=CStyle(samples=Samples("float"))).folder
    passed(run("make", f"CFLAGS={flags}", "test", cwd=made))
    (tmp_path / "use.c").write_text(
        '#include <stdio.h>\n#include "model.h"\n'
        "int main(void) {\n"
        "    float x[MODEL_CHANNELS], y[MODEL_OUTPUTS];\n"
        "    if (model_init() != EL_OK) return 1;\n"
        "    while (fread(x, sizeof x, 1, stdin) == 1) (void)model_step(x, y);\n"
        "    return 0;\n}\n"
    )
    paths = [f"-I{made / 'include'}", "-o", tmp_path / "use"]
    assert run("gcc", *flags.split(), *paths, tmp_path / "use.c", *sources(made)).returncode == 0
    bits = np.random.default_rng(3).integers(0, 2**32, (20000, 3), np.uint32)
    odd = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, 0.0], np.float32).view(np.uint32)
    bits[::3, 1] = np.resize(odd, len(bits[::3]))
    bits.tofile(tmp_path / "in")
    done = run("bash", "-c", f"{tmp_path / 'use'} < {tmp_path / 'in'}")
    assert done.returncode == 0, done.stderr[-3000:]


DOUBLE = re.compile(r"^\w* *[TtWU] (__aeabi_(?:c?d\w+|f2d|u?i2d|u?l2d))$", re.MULTILINE)


@pytest.mark.parametrize("kind", ["double", "float", "int16"])
@pytest.mark.usefixtures("unbuilt")
def test_a_cortex_m4f_computes_no_double(kind: str, tmp_path: Path) -> None:
    """Double samples show that the test would find it."""
    if shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("arm-none-eabi-gcc is not installed")
    bundle = bundle_of(one_layer_spec("gru"), tmp_path / "m.edge")
    style = CStyle(samples=Samples(kind, (0.001,) if kind == "int16" else ()))
    made = export_c(bundle, tmp_path / "m", style=style).folder
    (tmp_path / "app.c").write_text(
        '#include "model.h"\n'
        f"{style.samples.type} sample[MODEL_CHANNELS]; float answer[MODEL_OUTPUTS];\n"
        "uint32_t best; float probability;\n"
        "int main(void) {\n"
        "    int bad = model_init() != EL_OK;\n"
        "    for (;;) bad += model_step(sample, answer) != EL_OK;\n"
        "    model_reset();\n"
        "    return bad + (model_classify(sample, &best, &probability) != EL_OK);\n}\n"
    )
    flags = "-mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16 -O2 -ffunction-sections"
    link = "-nostartfiles -Wl,-e,main -Wl,--gc-sections -Wl,-u,model_classify"
    program = tmp_path / "app"
    files = [f"-I{made / 'include'}", tmp_path / "app.c", *sources(made)]
    done = run("arm-none-eabi-gcc", *flags.split(), *link.split(), *files, "-o", program)
    assert done.returncode == 0, done.stderr
    symbols = run("arm-none-eabi-nm", program).stdout
    assert "model_step" in symbols
    assert bool(DOUBLE.findall(symbols)) == (kind == "double")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (timed_detector_bundle, "elapsed time is in double"),
        (derived_bundle, "transforms are in double"),
        (quantiles_bundle, "quantiles, bounds and logarithmic scales are in double"),
    ],
)
def test_models_that_need_double(make: Callable[[Path], Path], told: str, tmp_path: Path) -> None:
    bundle = make(tmp_path / "m.edge")
    with pytest.raises(ConversionError, match=told):
        export_c(bundle, tmp_path / "m", style=CStyle(samples=Samples("float")))
    assert not (tmp_path / "m").exists()


def test_a_peak_anywhere_in_the_known_samples_is_too_large(tmp_path: Path) -> None:
    """Also behind the stretch that becomes the self-test."""
    spec = channels_spec("refuse", residual=False)
    assert isinstance(spec.inputs, Channels)
    inputs = dataclasses.replace(spec.inputs, mean=(0.0,) * 3, std=(1.0,) * 3)
    spec = dataclasses.replace(spec, inputs=inputs)
    rng = np.random.default_rng(3)
    weights = normal_weights(spec, rng)
    x = rng.normal(size=(300, 3))
    x[290, 1] = 400.0
    golden = write_npz({"x": x, "y": Reference(spec, weights).run(spec.features(x))})
    write_bundle(tmp_path / "m.edge", spec, weights, {"golden.npz": golden})
    with pytest.raises(ConversionError, match=r"'flow' reaches 400, and int16 ends at 327\.67"):
        exported(tmp_path / "m.edge", tmp_path, Samples("int16", (0.01,)), "wake")
    exported(tmp_path / "m.edge", tmp_path, Samples("int16", (0.1,)), "wake")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--sample int16", "'pressure' reaches 1017"),
        ("--sample int16 --sample-scale 0.001", "int16 ends at 32.767 with a scale of 0.001; stat"),
        ("--sample int16 --sample-scale 0.05", "'flow' has a deviation of 2e-05, and a count of"),
        ("--sample int16 --sample-scale 0.05,1", "has 2 numbers and the model 3 channels"),
        ("--sample int16 --sample-scale a", "--sample-scale a: expected a number, or one for each"),
        ("--sample int16 --sample-scale 0", "sample scale 0.0: expected the raw units of one"),
        ("--sample int16 --sample-scale nan", "sample scale nan: expected the raw units of one"),
        ("--sample float --sample-scale 2", "a sample scale is for int16 samples"),
    ],
)
def test_what_is_no_sample(
    options: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = channels_spec("refuse", residual=False)
    assert isinstance(spec.inputs, Channels)
    inputs = dataclasses.replace(spec.inputs, mean=(1013.25, -3e-4, 2.0), std=(1.3, 2e-5, 1.0))
    bundle = written(dataclasses.replace(spec, inputs=inputs), tmp_path / "m.edge")
    arguments = ["export", str(bundle), "--target", "c", "-o", str(tmp_path / "m")]
    code = main([*arguments, *options.split()])
    error = capsys.readouterr().err
    if options == "--sample int16":  # one count is one unit, which holds no deviation of the flow
        told = "has a deviation of"
    assert code in (1, 2)
    assert told in error
    assert error.count("\n") == 1
    assert not (tmp_path / "m").exists()


def test_probabilities_are_those_of_a_session(tmp_path: Path) -> None:
    """model_classify beside the softmax of Python's own session."""
    bundle = bundle_of(one_layer_spec("gru"), tmp_path / "m.edge")
    made = export_c(bundle, tmp_path / "m").folder
    (tmp_path / "use.c").write_text(
        '#include <stdio.h>\n#include "model.h"\n'
        "int main(void) {\n"
        "    double x[MODEL_CHANNELS]; uint32_t best; float share;\n"
        "    if (model_init() != EL_OK) return 1;\n"
        "    while (fread(x, sizeof x, 1, stdin) == 1) {\n"
        "        if (model_classify(x, &best, &share) != EL_OK) return 2;\n"
        '        printf("%s %.9g\\n", model_output_names[best], (double)share);\n'
        "    }\n"
        "    return 0;\n}\n"
    )
    paths = [f"-I{made / 'include'}", "-o", tmp_path / "use"]
    assert run("gcc", *paths, tmp_path / "use.c", *sources(made)).returncode == 0
    model = load(bundle)
    x = np.random.default_rng(4).normal(size=(300, model.spec.input_size)) * 3
    x.tofile(tmp_path / "in")
    found = run("bash", "-c", f"{tmp_path / 'use'} < {tmp_path / 'in'}").stdout.split()
    with model.session("reference") as session:
        logits = session.run(x)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    names = np.array(model.spec.answer.names)
    assert found[::2] == names[logits.argmax(axis=1)].tolist()
    assert len(set(found[::2])) > 1
    np.testing.assert_allclose(np.array(found[1::2], float), shares.max(axis=1), atol=2e-6)
