"""A folder as a library of Arduino, PlatformIO, ESP-IDF, Zephyr and CMake: two models each, with
0 warnings. Which of these is the real tool: tests/helpers/packagings.py."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from pathlib import Path

import jsonschema
import pytest
import yaml

from edge_lstm_export import export_c
from edge_lstm_export.c.samples import Samples
from edge_lstm_export.c.style import CStyle
from helpers.c_folder import bundle_of, masked_bundle, run
from helpers.packagings import (
    ARDUINO,
    COMPONENT,
    ESP_IDF,
    MODULE,
    PROPERTIES,
    ZEPHYR,
    platformio,
)
from helpers.specs import one_layer_spec

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
APP = """\
#include "gesture.h"
#include "load.h"
int main(void) { return gesture_init() != GESTURE_OK || load_init() != LOAD_OK; }
"""
NAMES = ("gesture", "load")
M4F = "-mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two exports: a classifier of float samples, and a forecast with odd names."""
    folder = tmp_path_factory.mktemp("packagings")
    classifier = bundle_of(one_layer_spec("gru"), folder / "gesture.edge")
    style = CStyle("gesture", Samples("float"))
    (folder / "lib").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edge_lstm_export.c.export.build_and_run", lambda *_: None)
        export_c(classifier, folder / "lib" / "gesture", style=style)
        forecast = masked_bundle(folder / "load.edge")
        export_c(forecast, folder / "lib" / "load", scheme="int8", style=CStyle("load"))
    return folder / "lib"


def clean(*command: str | Path, cwd: Path | None = None) -> None:
    done = run(*command, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in (done.stdout + done.stderr).lower()


# --- metadata ---


@pytest.mark.parametrize("name", NAMES)
def test_metadata(name: str, library: Path) -> None:
    folder = library / name
    lines = (folder / "library.properties").read_text().splitlines()
    properties = dict(line.split("=", 1) for line in lines)
    jsonschema.validate(properties, PROPERTIES)
    assert properties["name"] == name
    for header in properties["includes"].split(","):
        assert (folder / "src" / header).is_file()
    component = yaml.safe_load((folder / "idf_component.yml").read_text())
    jsonschema.validate(component, COMPONENT)
    module = yaml.safe_load((folder / "zephyr" / "module.yml").read_text())
    jsonschema.validate(module, MODULE)
    assert module["name"] == name
    assert (folder / module["build"]["cmake"] / "CMakeLists.txt").is_file()
    kconfig = (folder / module["build"]["kconfig"]).read_text()
    assert kconfig.startswith(f"config {name.upper()}\n\tbool ")
    package = json.loads((folder / "library.json").read_text())
    assert package["version"] == properties["version"] == component["version"]


@pytest.mark.parametrize("name", NAMES)
def test_espressifs_own_reader(name: str, library: Path) -> None:
    manager = pytest.importorskip("idf_component_tools.manager")
    found = manager.ManifestManager(str(library / name / "idf_component.yml"), name).validate()
    assert found.load().description


@pytest.mark.parametrize("name", NAMES)
def test_a_reader_of_kconfig(name: str, library: Path) -> None:
    kconfiglib = pytest.importorskip("kconfiglib")
    found = kconfiglib.Kconfig(str(library / name / "zephyr" / "Kconfig"))
    assert [symbol.name for symbol in found.unique_defined_syms] == [name.upper()]
    assert found.warnings == []


def test_no_two_files_collide(library: Path) -> None:
    """Some tools put the objects of all folders into one."""
    files = [path.name for name in NAMES for path in (library / name / "src").rglob("*.[ch]")]
    assert len(files) == len(set(files)) > 8
    for name in NAMES:
        for source in (library / name / "src").rglob("*.c"):
            assert not re.search(r"\bmain\s*\(", source.read_text())


# --- builds ---


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["", "arm-none-eabi-"])
def test_arduino(tool: str, library: Path, tmp_path: Path) -> None:
    """`src` and below is compiled, and it alone is where headers are looked for."""
    if shutil.which(f"{tool}gcc") is None:
        pytest.skip(f"{tool}gcc is not installed")
    (tmp_path / "Arduino.h").write_text(ARDUINO)
    flags = ["-Os", "-Wall", "-Wextra", "-Werror", *(M4F.split() if tool else ()), "-c"]
    for name in NAMES:
        for source in sorted((library / name / "src").rglob("*.c")):
            place = f"-I{library / name / 'src'}"
            clean(f"{tool}gcc", "-std=gnu11", *flags, place, source, "-o", tmp_path / "o.o")
    for name in NAMES:
        sketch = library / name / "examples" / "stream" / "stream.ino"
        paths = [f"-I{library / other / 'src'}" for other in NAMES]
        options = ["-std=gnu++11", f"-I{tmp_path}", "-include", "Arduino.h", "-x", "c++"]
        if not tool:
            clean("g++", *flags, *options, *paths, sketch, "-o", tmp_path / "sketch.o")


@pytest.mark.slow
def test_platformio(library: Path, tmp_path: Path) -> None:
    for module in ("platformio", "SCons"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    shutil.copytree(library, tmp_path / "lib")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.c").write_text(APP)
    warnings = "-Wall -Wextra -Werror"
    text = f"[env:host]\nplatform = local\nbuild_flags = {warnings}\n"
    if shutil.which("arm-none-eabi-gcc"):
        text += (
            "[env:m4f]\nplatform = local\ncustom_tool = arm-none-eabi-\n"
            f"build_flags = {M4F} {warnings}\ncustom_link = {M4F} --specs=rdimon.specs\n"
        )
    (tmp_path / "platformio.ini").write_text(text)
    done = platformio(tmp_path / "core", tmp_path, "run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in (done.stdout + done.stderr).lower()
    assert len(re.findall(r"^\|-- (?:gesture|load) @ \d", done.stdout, re.MULTILINE)) >= 2
    assert run(tmp_path / ".pio" / "build" / "host" / "program").returncode == 0
    packed = platformio(tmp_path / "core", tmp_path / "lib" / "gesture", "pkg", "pack")
    assert packed.returncode == 0, packed.stdout + packed.stderr


@pytest.mark.slow
@pytest.mark.parametrize("system", ["esp-idf", "zephyr", "cmake"])
def test_cmake(system: str, library: Path, tmp_path: Path) -> None:
    if shutil.which("cmake") is None:
        pytest.skip("cmake is not installed")
    (tmp_path / "app.c").write_text(APP)
    if system == "esp-idf":
        folders = "\n".join(f'add_subdirectory("{library / n}" {n})' for n in NAMES)
        text = ESP_IDF.format(folders=folders, libraries=" ".join(f"__idf_{n}" for n in NAMES))
    elif system == "zephyr":
        lines = []
        for name in NAMES:
            module = yaml.safe_load((library / name / "zephyr" / "module.yml").read_text())
            place = library / name / module["build"]["cmake"]
            lines += [f"set(CONFIG_{name.upper()} y)", f'add_subdirectory("{place}" {name})']
        text = ZEPHYR.format(folders="\n".join(lines))
    else:
        folders = "\n".join(f'add_subdirectory("{library / n}" {n})' for n in NAMES)
        text = (
            "cmake_minimum_required(VERSION 3.10)\nproject(app C)\n"
            f"add_compile_options(-Wall -Wextra -Wconversion -Werror)\n{folders}\n"
            f"add_executable(app app.c)\ntarget_link_libraries(app {' '.join(NAMES)})\n"
        )
    (tmp_path / "CMakeLists.txt").write_text(text)
    clean("cmake", "-S", tmp_path, "-B", tmp_path / "build", "-Werror=dev")
    clean("cmake", "--build", tmp_path / "build")
    clean(tmp_path / "build" / "app")


@pytest.mark.slow
def test_a_zephyr_module_that_is_not_chosen_compiles_nothing(library: Path, tmp_path: Path) -> None:
    if shutil.which("cmake") is None:
        pytest.skip("cmake is not installed")
    (tmp_path / "app.c").write_text("int main(void) { return 0; }\n")
    place = f'add_subdirectory("{library / "gesture" / "zephyr"}" gesture)'
    (tmp_path / "CMakeLists.txt").write_text(ZEPHYR.format(folders=place))
    clean("cmake", "-S", tmp_path, "-B", tmp_path / "build")
    clean("cmake", "--build", tmp_path / "build")
    assert list((tmp_path / "build").rglob("*.a")) == []
