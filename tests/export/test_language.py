"""A language model, from training on a text to every backend, the report and C."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from edge_lstm import Run, load_config, train
from edge_lstm_export import export_run
from edge_lstm_export.c.export import export_c
from edge_lstm_export.measure.keys import NUMPY
from edge_lstm_export.work import Work
from edge_lstm_runtime import check_backend, generate, load
from edge_lstm_runtime.cli import main
from edge_lstm_runtime.model.measured import Measured
from helpers.c_folder import STRICT, headers, passed, run, sources
from helpers.converter import NEEDS_CONVERTER
from helpers.on_request import ON_REQUEST
from helpers.simulated import simulated

PHRASE = 'The quick brown fox "jumps" over a lazy dog?? \\ é */ '


@pytest.fixture(scope="module")
def prose_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A sentence with all that C gives a meaning, again and again, trained with an embedding."""
    torch.set_num_threads(1)  # a model this small loses more than it wins by a second one
    folder = tmp_path_factory.mktemp("prose")
    (folder / "prose.txt").write_text(PHRASE * 60, encoding="utf-8")
    (folder / "config.toml").write_text(
        '[data]\nsource = "text"\npath = "prose.txt"\nlower = true\nwindow = 20\n[data.split]\n'
        'by = "time"\nval = 0.1\ntest = 0.1\n'
        '[model]\ntask = "language"\nhidden_size = 32\nembedding = 8\n[train]\nepochs = 30\n'
        "batch_size = 8\nlearning_rate = 0.02\n"
    )
    return train(load_config(folder / "config.toml"), folder / "run", quiet=True)


@pytest.fixture(scope="module")
def work(prose_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Work:
    return export_run(prose_run, tmp_path_factory.mktemp("exported") / "prose.edge", schemes=())


def test_every_backend_writes_the_same_text_and_measures_the_same_bits(
    prose_run: Run, work: Work
) -> None:
    model = load(work.out)
    test = prose_run.splits.test[0].x
    for backend in ("numpy", "native", "native-int8", "onnx"):
        assert check_backend(model.bundle, backend).passed
        with model.session(backend) as session:
            logits = np.stack([session.step(x) for x in test])[:-1].astype(np.float64)
            session.reset()
            assert (
                "".join(generate(session, "the quick", length=60, temperature=0))
                == (PHRASE * 3).lower()[9:69]
            )
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        bits = -np.log2(p[np.arange(len(p)), test[1:, 0].astype(int)]).mean()
        assert bits < 0.3
        if (key := Measured(backend)) in work.metrics:
            assert work.metrics[key]["bits_per_character"] == pytest.approx(bits, rel=1e-3)
    assert work.metrics[NUMPY]["perplexity"] == pytest.approx(
        prose_run.metrics["test"]["perplexity"], rel=1e-4
    )


def test_the_report_speaks_of_bits_and_the_command_generates(
    work: Work, capfd: pytest.CaptureFixture[str]
) -> None:
    html = work.out.with_suffix(".html").read_text("utf-8")
    assert '<th class="n">bits per character</th>' in html
    assert re.search(r"Of \d+ characters of held-out text the model needs 0\.\d+ bits each", html)
    assert re.search(r"native-int8 on this machine.*against float32 \S+ % bits per character", html)
    assert (
        main(
            [
                "generate",
                str(work.out),
                "--prompt",
                "the quick",
                "--length",
                "40",
                "--temperature",
                "0",
            ]
        )
        == 0
    )
    assert capfd.readouterr().out.splitlines()[-1] == (PHRASE * 3).lower()[:49]


@pytest.mark.parametrize("scheme", ["float32", "int8"])
def test_c_replays_the_golden_text_and_refuses_what_is_no_character(
    work: Work, scheme: str, tmp_path: Path
) -> None:
    made = export_c(work.out, tmp_path / "prose", scheme=scheme)
    passed(run("make", f"CFLAGS=-O2 {STRICT}", "test", cwd=made.folder))
    (tmp_path / "use.c").write_text(
        '#include <math.h>\n#include <string.h>\n#include "golden.h"\n'
        "int main(void) {\n"
        "    const double bad[] = {-1.0, 0.5, MODEL_OUTPUTS, NAN, INFINITY, -INFINITY, 1e300};\n"
        "    float first[MODEL_OUTPUTS], y[MODEL_OUTPUTS];\n"
        "    if (model_init() != EL_OK || model_step(golden_samples[0], first) != EL_OK) return "
        "1;\n"
        "    model_reset();\n"
        "    for (unsigned k = 0; k < sizeof bad / sizeof *bad; k++) if (model_step(bad + k, y) "
        "!= EL_NOT_FINITE) return 2;\n"
        "    if (model_step(golden_samples[0], y) != EL_OK || memcmp(first, y, sizeof y)) return "
        "3;\n"
        '    return strcmp(model_output_names[1], " ") ? 4 : 0;\n}\n'
    )
    built = run(
        "gcc",
        *headers(made.folder),
        tmp_path / "use.c",
        *sources(made.folder),
        "-o",
        tmp_path / "use",
    )
    assert built.returncode == 0, built.stderr
    assert run(tmp_path / "use").returncode == 0
    readme = (made.folder / "README.md").read_text("utf-8")
    code, _ = re.findall(r"^```c\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    declared, statements = code.split("if (model_init", 1)
    program = (
        f"#include <stdio.h>\nint read_sensor(double *sample);\n{declared}"
        f"int main(void) {{ if (model_init{statements}return 0; }}"
    )
    (made.folder / "example.c").write_text(program)
    flags = [*STRICT.split(), *headers(made.folder)]
    done = run("gcc", *flags, "-c", "example.c", "-o", "/dev/null", cwd=made.folder)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@ON_REQUEST
@NEEDS_CONVERTER
def test_the_simulator_writes_the_text_in_fp16_and_int8(prose_run: Run, tmp_path: Path) -> None:
    work = export_run(
        prose_run, tmp_path / "prose.edge", targets=("rk3588",), schemes=("fp16", "w8a8")
    )
    bits = work.metrics[NUMPY]["bits_per_character"]
    assert set(work.artifacts) == {"rk3588-fp16.rknn", "rk3588-w8a8.rknn"}
    assert work.metrics[simulated("rk3588-fp16.rknn")]["bits_per_character"] == pytest.approx(
        bits, abs=0.01
    )
    assert work.metrics[simulated("rk3588-w8a8.rknn")]["bits_per_character"] == pytest.approx(
        bits, abs=0.1
    )
    for member in work.artifacts:
        assert check_backend(load(work.out).bundle, "rknn-sim", member).passed
        with load(work.out).session("rknn-sim", artifact=member) as session:
            assert (
                "".join(generate(session, "the quick", length=30, temperature=0))
                == (PHRASE * 2).lower()[9:39]
            )
