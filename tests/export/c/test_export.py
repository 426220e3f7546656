"""From a run or a bundle to a folder of C source that runs here. Other CPUs: test_boards.py."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from edge_lstm_export import export_c, export_run
from edge_lstm_export.c import build
from edge_lstm_runtime import ModelSpec, read_bundle
from edge_lstm_runtime.native import PRECISIONS
from edge_lstm_runtime.verify.error import FLOAT32
from helpers.c_folder import (
    ODD,
    STRICT,
    contents,
    golden_file,
    headers,
    listed_detector_bundle,
    mixed_bundle,
    passed,
    quantiles_bundle,
    run,
    sources,
    timed_detector_bundle,
)
from helpers.derived import derived_bundle

pytestmark = pytest.mark.skipif(
    shutil.which("gcc") is None or shutil.which("make") is None,
    reason="gcc and make are not installed",
)


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    return timed_detector_bundle(tmp_path_factory.mktemp("detector") / "detector.edge")


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    return mixed_bundle(tmp_path_factory.mktemp("mixed") / "mixed.edge")


@pytest.fixture(scope="module")
def derived(tmp_path_factory):
    return derived_bundle(tmp_path_factory.mktemp("derived") / "derived.edge")


@pytest.fixture(params=["classify", "ffill", "mask", "detector", "mixed", "derived"])
def source(request):
    names = {"classify": "trained", "ffill": "forecast_run"}
    return request.getfixturevalue(names.get(request.param, request.param))


# --- the source, built ---


@pytest.mark.parametrize("make", [quantiles_bundle, listed_detector_bundle])
@pytest.mark.parametrize("scheme", PRECISIONS)
@pytest.mark.usefixtures("unbuilt")
def test_answers_that_are_no_line_are_those_of_the_session(make, scheme, tmp_path):
    bundle = make(tmp_path / "model.edge")
    made = export_c(bundle, tmp_path / "model", scheme=scheme).folder
    checked = "CFLAGS=-O0 -g -fsanitize=address,undefined -fno-sanitize-recover=all"
    for flags in (f"CFLAGS=-O2 {STRICT}", checked):
        run("make", "clean", cwd=made)
        figures = passed(run("make", flags, "test", cwd=made))
        largest = float(re.search(r"error (\S+) at", figures)[1])
        assert 0 < largest <= (FLOAT32.limit if scheme == "float32" else 1.0)


@pytest.mark.parametrize("scheme", PRECISIONS)
def test_builds_without_a_warning_and_answers_as_the_reference(source, scheme, tmp_path):
    done = export_c(source, tmp_path / "model", scheme=scheme)
    figures = passed(run("make", f"CFLAGS=-O2 {STRICT}", "test", cwd=done.folder))
    largest, nrmse = (float(n) for n in re.findall(r"(?:error|NRMSE) (\S+?)(?: at|;)", figures)[:2])
    by_numpy = done.schemes[scheme].comparison
    if scheme == "float32":
        assert largest <= FLOAT32.limit
    else:  # the same rounding by NumPy, which decides the limit that boards are held to
        # The self-test does not count the rounding of a raw answer to a float, which is a part of
        # float16's small error.
        least = 0.95 if scheme == "int8" else 0.4
        assert least * by_numpy.nrmse <= nrmse <= 1.05 * by_numpy.nrmse
        assert (1e-4 if scheme == "int8" else 1e-5) < nrmse < (0.1 if scheme == "int8" else 2e-3)
    assert done.built.verdict.startswith("largest error")
    assert done.built.code_bytes > 1000


@pytest.mark.parametrize("scheme", PRECISIONS)
@pytest.mark.usefixtures("unbuilt")
def test_sanitizers_find_nothing(mask, scheme, tmp_path):
    made = export_c(mask, tmp_path / "model", scheme=scheme).folder
    passed(
        run(
            "make",
            "CFLAGS=-O0 -g -fsanitize=address,undefined -fno-sanitize-recover=all",
            "test",
            cwd=made,
        )
    )


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed")
def test_cmake_builds_and_tests_it_and_takes_it_as_a_part_of_a_project(made, tmp_path):
    tree = tmp_path / "tree"
    for command in (
        ("cmake", "-S", made, "-B", tree),
        ("cmake", "--build", tree),
        ("ctest", "--test-dir", tree),
    ):
        done = run(*command)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "1/1 Test #1: selftest" in done.stdout
    assert "Passed" in done.stdout
    (tmp_path / "app.c").write_text('#include "model.h"\nint main(void) { return model_init(); }\n')
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.10)\nproject(app C)\nadd_subdirectory(motions)\n"
        "add_executable(app app.c)\n"
        "target_link_libraries(app edge_lstm_model)\n"
    )
    for command in (
        ("cmake", "-S", tmp_path, "-B", tmp_path / "own"),
        ("cmake", "--build", tmp_path / "own"),
        (tmp_path / "own" / "app",),
    ):
        done = run(*command)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_golden_value_that_is_off_makes_it_say_fail(made):
    golden = golden_file(made)
    head, answers = golden.read_text().split("golden_answers", 1)
    value = re.search(r"-?\d+\.\d+", answers)[0]
    golden.write_text(
        head + "golden_answers" + answers.replace(value, repr(float(value) + 2e-5), 1)
    )
    done = run("make", "test", cwd=made)
    assert done.returncode != 0
    assert "\nFAIL\n" in done.stdout
    assert "largest error 2" in done.stdout


def test_a_weight_that_is_off_makes_it_say_fail(made):
    source = made / "src" / "model.c"
    text = source.read_text()
    words = list(re.finditer(r"0x3e[0-9a-f]{6}u", text))  # a float of 0.125 to 0.5
    source.write_text(text[: words[0].start()] + "0x3f800000u" + text[words[0].end() :])
    done = run("make", "test", cwd=made)
    assert done.returncode != 0
    assert "\nFAIL\n" in done.stdout


def test_no_heap_and_nothing_from_outside_but_a_few_functions(made):
    assert run("make", "build/libmodel.a", cwd=made).returncode == 0
    symbols = run("nm", "-u", "build/libmodel.a", cwd=made).stdout
    undefined = set(re.findall(r"^ +U (\w+)$", symbols, re.MULTILINE))
    outside = {name for name in undefined if not name.startswith(("el_", "_GLOBAL_"))}
    assert outside <= {
        "memcpy",
        "memmove",
        "memset",
        "strcmp",
        "__stack_chk_fail",
    }
    sections = run("size", "-A", "build/libmodel.a", cwd=made).stdout
    bss = sum(map(int, re.findall(r"^\.bss\S* +(\d+)", sections, re.MULTILINE)))
    data = sum(map(int, re.findall(r"^\.data(?!\.rel\.ro)\S* +(\d+)", sections, re.MULTILINE)))
    assert bss == json.loads((made / "model.json").read_text())["bytes"]["ram"]
    assert data == 0, "constants that don't lie in flash"


def test_a_detector_s_memory_and_what_it_takes_from_outside(detector, tmp_path):
    made = export_c(detector, tmp_path / "watch").folder
    assert run("make", "build/libmodel.a", cwd=made).returncode == 0
    sections = run("size", "-A", "build/libmodel.a", cwd=made).stdout
    bss = sum(map(int, re.findall(r"^\.bss\S* +(\d+)", sections, re.MULTILINE)))
    assert bss == json.loads((made / "model.json").read_text())["bytes"]["ram"]
    assert "log1p" in run("nm", "-u", "build/libmodel.a", cwd=made).stdout


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("0.5 * (raw - model_average)", "0.6 * (raw - model_average)"),
        ("average > 2.0;", "average > 2.5;"),
        ("model_held = 0;", "model_held = model_held;"),
        ("log1p(dt / 300.0)", "log1p(dt / 301.0)"),
    ],
)
def test_the_self_test_notices_a_wrong_detector(right, wrong, detector, tmp_path):
    made = export_c(detector, tmp_path / "watch").folder
    text = (made / "src" / "model.c").read_text()
    assert text.count(right) == 1
    (made / "src" / "model.c").write_text(text.replace(right, wrong))
    done = run("make", "test", cwd=made)
    assert "FAIL" in done.stdout.splitlines()
    assert done.returncode != 0
    assert "dt" in right or "scores of anomalies are wrong" in done.stdout


def test_statuses_of_the_small_interface(made, tmp_path):
    (tmp_path / "use.c").write_text(
        "#include <math.h>\n#include <string.h>\n#include \"golden.h\"\n"
        "int main(void) {\n"
        "    float first[MODEL_OUTPUTS], y[MODEL_OUTPUTS];\n"
        "    double bad[MODEL_CHANNELS];\n"
        "    if (model_step(golden_samples[0], y) != EL_BAD_STATE) return 1; /* before model_init "
        "*/\n"
        "    if (model_init() != EL_OK || model_step(golden_samples[0], first) != EL_OK) return "
        "2;\n"
        "    model_reset();\n"
        "    memcpy(bad, golden_samples[0], sizeof bad);\n"
        "    bad[MODEL_CHANNELS - 1] = NAN;\n"
        "    if (model_step(bad, y) != EL_NOT_FINITE) return 3;\n"
        "    if (model_step(golden_samples[0], y) != EL_OK || memcmp(first, y, sizeof y)) return "
        "4; /* nothing had changed */\n"
        "    return strcmp(model_output_names[3], \"walking\") ? 5 : 0;\n}\n"
    )  # fmt: skip
    done = run("gcc", *headers(made), tmp_path / "use.c", *sources(made), "-o", tmp_path / "use")
    assert done.returncode == 0, done.stderr
    assert run(tmp_path / "use").returncode == 0


@pytest.mark.parametrize("option", ["-ffast-math", "-Ofast", "-ffinite-math-only"])
def test_options_that_would_break_it_are_refused(made, option):
    done = run("gcc", option, "-c", "src/edge_lstm.c", "-o", "/dev/null", cwd=made)
    assert done.returncode != 0
    assert "compile without -ffast-math" in done.stderr


@pytest.mark.usefixtures("unbuilt")
def test_example_of_the_readme_compiles(source, tmp_path):
    made = export_c(source, tmp_path / "model").folder
    code, clock = re.findall(
        r"^```c\n(.*?)^```$", (made / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    counter, started = clock.split("\n\n")
    declared, statements = code.split("if (model_init", 1)
    program = (
        "#include <stdio.h>\nint read_sensor(double *sample);\n"
        + declared
        + counter
        + "int main(void) {\n"
        + started
        + "if (model_init"
        + statements
        + "return 0; }"
    )
    (made / "example.c").write_text(program)
    done = run(
        "gcc",
        *STRICT.split(),
        *headers(made),
        "-Wno-int-to-pointer-cast",
        "-c",
        "example.c",
        "-o",
        "/dev/null",
        cwd=made,
    )
    assert done.returncode == 0, done.stderr


# --- what is exported ---


@pytest.mark.usefixtures("unbuilt")
def test_run_and_bundle_give_the_same_bytes_and_the_manifests_weights(trained, made, tmp_path):
    bundle = export_run(trained, tmp_path / "motions.edge", schemes=()).out
    (tmp_path / "elsewhere").mkdir()
    again = export_c(bundle, tmp_path / "elsewhere" / "motions").folder
    assert contents(again) == contents(made)
    sha256 = read_bundle(bundle).manifest["members"]["weights.npz"]["sha256"]
    assert json.loads((made / "model.json").read_text())["weights_sha256"] == sha256
    assert sha256 in (made / "src" / "model.c").read_text()


def test_model_json_lists_every_file(made):
    info = json.loads((made / "model.json").read_text())
    assert set(info["files"]) == set(contents(made)) - {"model.json"}
    assert ModelSpec.from_dict(info["spec"]).inputs.names == ("ax", "ay", "az", "gx", "gy", "gz")
    assert f"{info['bytes']['flash_model']:,}" in (made / "README.md").read_text()
    assert f"{info['bytes']['ram']:,}" in (made / "README.md").read_text()


@pytest.mark.usefixtures("unbuilt")
def test_golden_stretch_has_a_gap_where_the_data_has_one(forecast_run, mask, tmp_path):
    for number, source in enumerate((forecast_run, mask)):
        assert "NAN" in golden_file(export_c(source, tmp_path / str(number)).folder).read_text()


@pytest.mark.usefixtures("unbuilt")
def test_odd_names_come_through(mask, tmp_path):
    made = export_c(mask, tmp_path / 'x "y" *').folder
    done = run("make", f"CFLAGS=-O0 {STRICT} -Wtrigraphs", "test", cwd=made)
    passed(done)
    assert done.stdout.count('x "y" *, float32') == 1
    (tmp_path / "name.c").write_text(
        '#include <stdio.h>\n#include "model.h"\n'
        "int main(void) { puts(model_channel_names[0]); return 0; }\n"
    )
    assert (
        run(
            "gcc", *headers(made), tmp_path / "name.c", *sources(made), "-o", tmp_path / "name"
        ).returncode
        == 0
    )
    assert run(tmp_path / "name").stdout == ODD + "\n"


def test_without_a_compiler_the_bytes_are_the_same(trained, made, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    done = export_c(trained, tmp_path / "empty" / "motions")
    assert done.built == build.Built("not run here: no C compiler (cc) was found")
    assert contents(done.folder) == contents(made)


def test_a_compiler_that_fails_is_named(trained, tmp_path, monkeypatch):
    fake = tmp_path / "cc"
    fake.write_text("#!/bin/sh\necho 'stdint.h: No such file' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (
        export_c(trained, tmp_path / "motions").built.verdict
        == "not run here: cc: stdint.h: No such file"
    )
