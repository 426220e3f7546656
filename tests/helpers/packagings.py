"""The build tools of the packagings, or what their documentation says they do.

PlatformIO is the real tool, on a platform that is made here: its registry has toolchains, and a
test has the compilers of this machine. Of Arduino, ESP-IDF and Zephyr no registry of packages has
the core or the SDK. So their few functions that a folder calls stand here, as the vendor's pages
describe them, and build with the compilers of this machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PLATFORM = """\
from SCons.Script import Default, DefaultEnvironment

env = DefaultEnvironment()
tool = env.GetProjectOption("custom_tool", "")
flags = env.GetProjectOption("custom_link", "").split()
env.Replace(AR=tool + "ar", CC=tool + "gcc", CXX=tool + "g++", RANLIB=tool + "ranlib")
env.Replace(SIZETOOL=tool + "size", PROGSUFFIX="")
env.Append(LINKFLAGS=flags)
Default([env.BuildProgram()])
"""
SCONS = """\
import sys

sys.path[:0] = {path!r}
from SCons.Script import main

main()
"""


def platformio(core: Path, project: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run PlatformIO with a core folder that has SCons and a platform `local`."""
    from platformio.dependencies import get_core_dependencies

    version = get_core_dependencies()["tool-scons"].lstrip("~")
    _package(core / "packages" / "tool-scons", "tool", "package.json", version)
    local = core / "platforms" / "local"
    _package(local, "platform", "platform.json", "1.0.0")
    (local / "platform.py").write_text(
        "from platformio.platform.base import PlatformBase\n\n\n"
        "class LocalPlatform(PlatformBase):\n    pass\n"
    )
    (local / "builder").mkdir(exist_ok=True)
    (local / "builder" / "main.py").write_text(PLATFORM)
    scons = core / "packages" / "tool-scons" / "scons.py"
    scons.write_text(SCONS.format(path=[p for p in sys.path if p]))
    return subprocess.run(
        [sys.executable, "-m", "platformio", *command],
        cwd=project, capture_output=True, text=True, timeout=300, check=False,
        env={
            **os.environ,
            "PLATFORMIO_CORE_DIR": str(core),
            "PLATFORMIO_SETTING_ENABLE_TELEMETRY": "no",
            "PLATFORMIO_SETTING_CHECK_PLATFORMIO_INTERVAL": "3650",
        },
    )  # fmt: skip


def _package(folder: Path, kind: str, manifest: str, version: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    about = {
        "name": folder.name,
        "title": folder.name,
        "version": version,
        "description": "of this machine",
        "system": "*",
        "frameworks": {},
        "packages": {},
    }
    spec = {"owner": None, "id": None, "name": folder.name, "requirements": None, "uri": None}
    if kind == "tool":
        spec["owner"] = "platformio"
    (folder / manifest).write_text(json.dumps(about))
    (folder / ".piopm").write_text(
        json.dumps({"type": kind, "name": folder.name, "version": version, "spec": spec})
    )


# Of the reference of Arduino's Serial, what the sketch calls.
# https://docs.arduino.cc/language-reference/en/functions/communication/serial/
ARDUINO = """\
#pragma once
#include <stdint.h>
struct SerialPort {
    void begin(unsigned long);
    int available();
    long parseInt();
    float parseFloat();
    unsigned print(const char *);
    unsigned print(char);
    unsigned println(const char *);
    unsigned println(double);
};
extern SerialPort Serial;
"""

# https://docs.espressif.com/projects/esp-idf/en/stable/esp32/api-guides/build-system.html
# A component's CMakeLists.txt is read twice, the first time as a script in which
# idf_component_register() ends the reading.
ESP_IDF = """\
cmake_minimum_required(VERSION 3.16)
project(app C)
set(ESP_PLATFORM 1)
function(idf_component_register)
  cmake_parse_arguments(_ "" "" "SRCS;INCLUDE_DIRS;PRIV_INCLUDE_DIRS;REQUIRES" ${{ARGN}})
  if(__UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "unknown: ${{__UNPARSED_ARGUMENTS}}")
  endif()
  get_filename_component(name ${{CMAKE_CURRENT_LIST_DIR}} NAME)
  add_library(__idf_${{name}} STATIC ${{__SRCS}})
  target_include_directories(__idf_${{name}} PUBLIC ${{__INCLUDE_DIRS}})
endfunction()
add_compile_options(-Wall -Wextra -Werror)
{folders}
add_executable(app app.c)
target_link_libraries(app {libraries} m)
"""

# https://docs.zephyrproject.org/latest/develop/modules.html (how a module's CMakeLists.txt is
# added), https://docs.zephyrproject.org/latest/build/cmake-ref/module/extensions.html (functions)
ZEPHYR = """\
cmake_minimum_required(VERSION 3.20)
project(app C)
add_library(zephyr_interface INTERFACE)
function(zephyr_include_directories)
  target_include_directories(zephyr_interface INTERFACE ${{ARGN}})
endfunction()
macro(zephyr_library)
  string(MAKE_C_IDENTIFIER "lib_${{CMAKE_CURRENT_SOURCE_DIR}}" ZEPHYR_CURRENT_LIBRARY)
  add_library(${{ZEPHYR_CURRENT_LIBRARY}} STATIC "")
  target_link_libraries(${{ZEPHYR_CURRENT_LIBRARY}} PUBLIC zephyr_interface)
  set_property(GLOBAL APPEND PROPERTY ZEPHYR_LIBS ${{ZEPHYR_CURRENT_LIBRARY}})
endmacro()
function(zephyr_library_sources)
  target_sources(${{ZEPHYR_CURRENT_LIBRARY}} PRIVATE ${{ARGN}})
endfunction()
add_compile_options(-Wall -Wextra -Werror)
{folders}
get_property(libraries GLOBAL PROPERTY ZEPHYR_LIBS)
add_executable(app app.c)
target_link_libraries(app zephyr_interface ${{libraries}} m)
"""
# Keys and types of zephyr/module.yml, and which folders and files they name:
# https://github.com/zephyrproject-rtos/zephyr/blob/main/scripts/zephyr_module.py
MODULE = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string"},
        "build": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "cmake": {"type": "string"},
                "kconfig": {"type": "string"},
                "depends": {"type": "array", "items": {"type": "string"}},
                "settings": {"type": "object"},
            },
        },
        "tests": {"type": "array"},
        "samples": {"type": "array"},
    },
}
# https://docs.espressif.com/projects/idf-component-manager/en/latest/reference/manifest_file.html
COMPONENT = {
    "type": "object",
    "additionalProperties": False,
    "required": ["version", "description"],
    "properties": {
        "version": {"type": "string", "pattern": r"^\d+\.\d+\.\d+([-+~].*)?$"},
        "description": {"type": "string", "minLength": 1},
        "url": {"type": "string"},
        "license": {"type": "string"},
        "targets": {"type": "array"},
        "dependencies": {"type": "object"},
        "files": {"type": "object"},
        "tags": {"type": "array"},
    },
}
# https://docs.arduino.cc/arduino-cli/library-specification (library.properties file format)
PROPERTIES = {
    "type": "object",
    "required": ["name", "version", "author", "maintainer", "sentence", "paragraph", "url"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "pattern": r"^(?=.*[A-Za-z])[A-Za-z0-9][A-Za-z0-9 _.-]{0,62}$"},
        "version": {"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
        "category": {
            "enum": [
                *("Display", "Communication", "Signal Input/Output", "Sensors", "Device Control"),
                *("Timing", "Data Storage", "Data Processing", "Other"),
            ]
        },
        "url": {"type": "string", "pattern": "^https?://"},
        "architectures": {"type": "string", "minLength": 1},
        "includes": {"type": "string", "pattern": r"^\w+\.h$"},
        **{
            name: {"type": "string", "minLength": 1}
            for name in ("author", "maintainer", "sentence", "paragraph")
        },
    },
}
