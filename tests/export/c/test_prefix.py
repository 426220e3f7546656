"""Several models in one program, and a build that compiles every C file of a folder."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

import pytest

from edge_lstm_export import export_c
from edge_lstm_export.c.names import Names
from edge_lstm_export.c.style import CStyle
from edge_lstm_runtime import ConfigError
from edge_lstm_runtime.cli import main
from helpers.c_folder import (
    bundle_of,
    masked_bundle,
    mixed_bundle,
    passed,
    quantiles_bundle,
    run,
    sources,
    timed_detector_bundle,
)
from helpers.derived import derived_bundle
from helpers.specs import one_layer_spec

pytestmark = [
    pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed"),
    pytest.mark.usefixtures("unbuilt"),
]
WARNINGS = "-Wall -Wextra -Wconversion -Wdouble-promotion -pedantic -Werror"
MODELS = {
    "gesture": mixed_bundle,
    "wake": lambda path: bundle_of(one_layer_spec("gru"), path),
    "load": masked_bundle,
    "watch": timed_detector_bundle,
    "plan": quantiles_bundle,
    "sky": derived_bundle,
}
# Each model is asked twice, with the others' steps in between, and must answer the same.
PROGRAM = r"""
#include <stdio.h>
#include <string.h>
{includes}
int main(void) {{
{models}
    puts("same");
    return 0;
}}
"""
ONE = """    float {p}_first[{P}_OUTPUTS], {p}_again[{P}_OUTPUTS];
    const double {p}_sample[{P}_CHANNELS] = {{1.0}};
    if ({p}_init() != {P}_OK || {p}_step({p}_sample, {p}_first) != {P}_OK) return 1;
"""
AGAIN = """    {p}_reset();
    if ({p}_step({p}_sample, {p}_again) != {P}_OK) return 2;
    if (memcmp({p}_first, {p}_again, sizeof {p}_first)) return 3;
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("several")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edge_lstm_export.c.export.build_and_run", lambda *_: None)
        return {
            name: export_c(
                make(folder / f"{name}.edge"), folder / name, style=CStyle(prefix=name)
            ).folder
            for name, make in MODELS.items()
        }


def filled(text: str, names: list[str]) -> str:
    return "".join(text.format(p=name, P=name.upper()) for name in names)


@pytest.mark.parametrize(
    ("cc", "names"),
    [
        ("gcc", ["gesture", "load"]),
        pytest.param("clang", ["gesture", "load"], marks=pytest.mark.slow),
        pytest.param("gcc", list(MODELS), marks=pytest.mark.slow),
    ],
)
def test_models_in_one_program(
    cc: str, names: list[str], folders: dict[str, Path], tmp_path: Path
) -> None:
    """The first and the third have the same layers."""
    if shutil.which(cc) is None:
        pytest.skip(f"{cc} is not installed")
    includes = "\n".join(f'#include "{name}.h"' for name in names)
    models = filled(ONE, names) + filled(AGAIN, names)
    (tmp_path / "app.c").write_text(PROGRAM.format(includes=includes, models=models))
    paths = [f"-I{folders[name] / 'include'}" for name in names]
    files = [source for name in names for source in sources(folders[name])]
    flags = ["-std=c99", "-O0", *WARNINGS.split(), "-Wl,--fatal-warnings"]
    done = run(cc, *flags, *paths, tmp_path / "app.c", *files, "-lm", "-o", tmp_path / "app")
    assert (done.returncode, done.stderr) == (0, "")
    assert run(tmp_path / "app").stdout == "same\n"


def test_two_models_with_the_kernel_once(folders: dict[str, Path], tmp_path: Path) -> None:
    """`load` calls the kernel of `gesture`, in a program that includes both headers."""
    names = ["gesture", "load"]
    includes = "\n".join(f'#include "{name}.h"' for name in names)
    models = filled(ONE, names) + filled(AGAIN, names)
    (tmp_path / "app.c").write_text(PROGRAM.format(includes=includes, models=models))
    paths = [f"-I{folders[name] / 'include'}" for name in names]
    files = [source for name in names for source in sources(folders[name])]
    sizes = []
    for option in ("-DNOTHING", "-DLOAD_LIBRARY=gesture_el"):
        flags = ["-std=c99", "-O1", *WARNINGS.split(), option]
        program = tmp_path / option
        done = run("gcc", *flags, *paths, tmp_path / "app.c", *files, "-lm", "-o", program)
        assert (done.returncode, done.stderr) == (0, "")
        assert run(program).stdout == "same\n"
        symbols = run("nm", "--defined-only", program).stdout
        assert ("load_el_step" in symbols) == (option == "-DNOTHING")
        sizes.append(int(run("size", program).stdout.splitlines()[1].split()[0]))
    assert sizes[0] - sizes[1] > 10_000


def test_a_kernel_without_the_layers_is_noticed(folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "app.c").write_text(
        '#include "wake.h"\nint main(void) { return wake_init() == WAKE_BAD_MODEL ? 7 : 1; }\n'
    )
    files = [*sources(folders["gesture"]), *sources(folders["wake"])]
    flags = ["-O0", "-DWAKE_LIBRARY=gesture_el", f"-I{folders['wake'] / 'include'}"]
    done = run("gcc", *flags, tmp_path / "app.c", *files, "-o", tmp_path / "app")
    assert (done.returncode, done.stderr) == (0, "")
    assert run(tmp_path / "app").returncode == 7


@pytest.mark.parametrize("cc", ["g++", pytest.param("clang++", marks=pytest.mark.slow)])
def test_headers_in_cpp(cc: str, folders: dict[str, Path], tmp_path: Path) -> None:
    if shutil.which(cc) is None:
        pytest.skip(f"{cc} is not installed")
    text = "".join(f'#include "{name}.h"\n' for name in folders)
    (tmp_path / "app.cpp").write_text(text + "int main() { return gesture_init() != GESTURE_OK; }")
    paths = [f"-I{folder / 'include'}" for folder in folders.values()]
    flags = ["-std=c++11", *WARNINGS.split(), *paths, "-c", tmp_path / "app.cpp"]
    done = run(cc, *flags, "-o", tmp_path / "app.o")
    assert (done.returncode, done.stderr) == (0, "")


def test_all_names_and_files_have_the_prefix(folders: dict[str, Path], tmp_path: Path) -> None:
    for name in ("gesture", "sky"):
        folder = folders[name]
        for part in ("src", "include"):
            assert {
                p.name for p in (folder / part).iterdir() if not p.name.startswith(name)
            } == set()
        objects = []
        for source in sources(folder):
            objects.append(tmp_path / f"{source.stem}.o")
            assert run("gcc", "-O0", "-c", source, "-o", objects[-1]).returncode == 0
        symbols = run("nm", "--defined-only", *objects).stdout
        outside = re.findall(r"^\w+ [A-Z] (\w+)$", symbols, re.MULTILINE)
        assert len(outside) > 20
        assert [symbol for symbol in outside if not symbol.startswith(f"{name}_")] == []
        model = run("nm", "--defined-only", tmp_path / f"{name}.o").stdout
        statics = re.findall(r"^\w+ [bdr] (\w+)$", model, re.MULTILINE)
        assert f"{name}_block" in statics
        assert [symbol for symbol in statics if not symbol.startswith(f"{name}_")] == []
        macros = run("gcc", "-dM", "-E", folder / "include" / f"{name}.h").stdout
        common = run(
            "gcc", "-dM", "-E", "-include", "stdint.h", "-include", "stddef.h", "-xc", "/dev/null"
        )
        own = set(macros.splitlines()) - set(common.stdout.splitlines())
        own = {line for line in own if not re.match(r"#define (?:_|HUGE_VAL|NAN|INFINITY)", line)}
        assert len(own) > 10
        assert [line for line in own if not line.startswith(f"#define {name.upper()}_")] == []


def test_names_of_the_data_are_not_renamed(tmp_path: Path) -> None:
    """A class called model_x or EL_OK stays so."""
    spec = one_layer_spec("gru")
    classes = ("model_x", "el_step", "MODEL_Y", "golden_1")[: spec.answer.size]
    spec = dataclasses.replace(spec, answer=dataclasses.replace(spec.answer, classes=classes))
    bundle = bundle_of(spec, tmp_path / "m.edge")
    folder = export_c(bundle, tmp_path / "model_x", style=CStyle(prefix="gesture")).folder
    header = (folder / "include" / "gesture.h").read_text()
    for k, name in enumerate(classes):
        assert f'"{name}"' in header
        assert f"#define GESTURE_CLASS_{name.upper()} {k}" in header
    assert '#define GESTURE_NAME "model_x"' in header
    assert "-DGESTURE_GROUP=4u" in header
    passed(run("make", "test", cwd=folder))


@pytest.mark.parametrize("prefix", ["el", "model_x", "edge_lstm", "Model", "lstm"])
def test_a_prefix_that_is_a_part_of_other_names(prefix: str, tmp_path: Path) -> None:
    bundle = masked_bundle(tmp_path / "m.edge")
    folder = export_c(bundle, tmp_path / "m", style=CStyle(prefix=prefix)).folder
    assert f"_status {prefix}_init(void);" in (folder / "include" / f"{prefix}.h").read_text()
    assert (folder / "include" / f"{prefix}_edge_lstm.h").is_file()
    passed(run("make", "CFLAGS=-O0 -Wall -Wextra -Werror", "test", cwd=folder))


def test_without_a_prefix_the_names_are_those_of_before(made: Path) -> None:
    header = (made / "include" / "model.h").read_text()
    assert "el_status model_init(void);" in header
    assert (made / "src" / "edge_lstm.c").is_file()
    assert Names().of_template("model_step EL_OK edge_lstm.h") == "model_step EL_OK edge_lstm.h"


@pytest.mark.parametrize(
    ("prefix", "told"),
    [
        ("", "is no identifier of C"),
        ("my-net", "is no identifier of C"),
        ("2nd", "is no identifier of C"),
        ("_net", "is no identifier of C"),
        ("nét", "is no identifier of C"),
        ("net ", "is no identifier of C"),
        ("n" * 33, "has 33 characters; expected up to 32"),
        ("double", "is a word of C"),
        ("math", "a header of the C library"),
        ("String", "a header of the C library"),
        ("m", "a name that builds use"),
        ("test", "a name that builds use"),
        ("golden", "a name that builds use"),
    ],
)
def test_prefixes_that_are_refused(
    prefix: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["export", str(tmp_path), "--target", "c", "--prefix", prefix]
    assert main([*arguments, "-o", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    with pytest.raises(ConfigError, match="prefix"):
        export_c(tmp_path, tmp_path / "out", style=CStyle(prefix=prefix))


@pytest.mark.parametrize("option", ["--prefix=a", "--sample=float", "--sample-scale=1", "--count"])
def test_options_of_c_alone(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(tmp_path), option, "-o", str(tmp_path / "m.edge")]) == 2
    assert "is for --target c; leave it out" in capsys.readouterr().err
