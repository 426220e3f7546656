"""python_abi.h against Python.h of every Python that is here, and against NumPy's headers."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

import hatch_build
from helpers.c_build import compiler, run
from helpers.pythons import VERSIONS, headers

pytestmark = pytest.mark.skipif(not compiler("gcc"), reason="needs gcc")
HERE = Path(__file__).parent
FOLDER = hatch_build.EXTENSION
OURS = (FOLDER / "python_abi.h").read_text("utf-8")
LIMITED = "-DPy_LIMITED_API=0x030A0000"  # Python 3.10's
NUMPY = Path(np.get_include())
# What the names in the table of functions are called here.
TABLE = {
    "PyArray_GetNDArrayCVersion": "EL_GET_ABI",
    "PyArray_Type": "EL_ARRAY_TYPE",
    "PyArray_DescrFromType": "EL_DESCR_FROM_TYPE",
    "PyArray_NewFromDescr": "EL_NEW_FROM_DESCR",
}


@pytest.fixture(params=VERSIONS)
def include(request: pytest.FixtureRequest) -> Path:
    return headers(request.param)


def test_each_function_is_declared_alike(include: Path) -> None:
    """The compiler takes both declarations of each, and the limited API has all of them."""
    source = "#include <Python.h>\n#include <pythread.h>\n"
    command = ["gcc", "-Werror", LIMITED, f"-I{include}", f"-I{FOLDER}", "-x", "c"]
    both = f'{source}#include "python_abi.h"\n'
    done = subprocess.run(
        [*command, "-fsyntax-only", "-"], input=both, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    theirs = subprocess.run(
        [*command, "-E", "-"], input=source, capture_output=True, text=True, check=True
    ).stdout
    declared = re.findall(r"^[\w *]+?\b(_?Py\w+)\(", OURS, re.MULTILINE)
    assert len(declared) > 30
    assert [name for name in declared if not re.search(rf"\b{name}\s*\(", theirs)] == []
    objects = re.findall(r"\b(Py(?:\w+_Type|Exc_\w+)|_Py_NoneStruct)\b(?=[,;])", OURS)
    assert len(objects) == 6
    assert [name for name in objects if not re.search(rf"\b{name}\b", theirs)] == []


def test_sizes_places_and_numbers(include: Path, tmp_path: Path) -> None:
    found = {}
    for name, flags in (
        ("ours", [f"-I{FOLDER}"]),
        ("theirs", ["-DREAL", f"-I{include}", f"-I{NUMPY}"]),
    ):
        # -O1, so that functions in Python.h which nothing calls ask for no libpython.
        run(["gcc", "-O1", *flags, HERE / "python_abi.c", "-o", tmp_path / name])
        found[name] = run([tmp_path / name]).splitlines()
    assert len(found["ours"]) > 50
    assert found["ours"] == found["theirs"]


def test_the_table_of_numpys_functions() -> None:
    text = (NUMPY / "numpy" / "__multiarray_api.h").read_text("utf-8")
    ours = dict(re.findall(r"^ +(EL_\w+) = (\w+)", OURS, re.MULTILINE))
    for theirs, name in TABLE.items():
        (number,) = re.findall(rf"#define {theirs}\b[^\[]*\bPyArray_API\[(\d+)\]", text)
        assert ours[name] == number, theirs
    config = (NUMPY / "numpy" / "numpyconfig.h").read_text("utf-8")
    config += (NUMPY / "numpy" / "_numpyconfig.h").read_text("utf-8")
    (abi,) = re.findall(r"^#define NPY_(?:ABI_)?VERSION +(0x\d+)$", config, re.MULTILINE)
    assert int(abi, 16) in (int(ours["EL_NPY_ABI_1"], 16), int(ours["EL_NPY_ABI_2"], 16))
