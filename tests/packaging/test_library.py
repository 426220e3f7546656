"""The native library in each wheel: what it shows, what it needs, how large it is."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile

import hatch_build
from helpers.paths import ROOT

pytestmark = pytest.mark.slow
MAX_KB = 270  # x86-64 has four kernels of every type of layer
MACHINES = {"x86_64": ("EM_X86_64", 64), "aarch64": ("EM_AARCH64", 64), "armv7l": ("EM_ARM", 32)}


@pytest.fixture(scope="module", params=hatch_build.PLATFORMS)
def platform(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def content(wheels: dict[str, Path], platform: str) -> bytes:
    with zipfile.ZipFile(wheels[platform]) as archive:
        return archive.read(hatch_build.IN_WHEEL)


@pytest.fixture(scope="module")
def elf(content: bytes) -> Any:
    return ELFFile(io.BytesIO(content))


def test_checksum(wheels: dict[str, Path], platform: str, content: bytes) -> None:
    with zipfile.ZipFile(wheels[platform]) as archive:
        stated = archive.read(hatch_build.IN_WHEEL + hatch_build.SUM).decode()
    assert stated == f"{hashlib.sha256(content).hexdigest()}  _kernel.abi3.so\n"


def test_size(content: bytes) -> None:
    assert len(content) <= MAX_KB * 1000


def test_machine(elf: Any, platform: str) -> None:
    assert (elf["e_machine"], elf.elfclass) == MACHINES[hatch_build.machine_of(platform)]
    assert elf.little_endian
    if elf["e_machine"] == "EM_ARM":
        assert elf["e_flags"] & 0x400, "hard float"


def test_it_shows_what_python_asks_for_alone(elf: Any) -> None:
    symbols = elf.get_section_by_name(".dynsym").iter_symbols()
    assert {s.name for s in symbols if s["st_shndx"] != "SHN_UNDEF"} == {"PyInit__kernel"}


def test_it_needs_the_c_library_and_python_alone(elf: Any, platform: str) -> None:
    """And of Python what python_abi.h declares, which test_python_abi.py compares with Python.h."""
    tags = list(elf.get_section_by_name(".dynamic").iter_tags())
    assert [t.needed for t in tags if t["d_tag"] == "DT_NEEDED"] == [
        "libc.so.6" if "manylinux" in platform else "libc.so"
    ]
    assert not {t["d_tag"] for t in tags} & {"DT_RPATH", "DT_RUNPATH", "DT_TEXTREL"}
    asked = {
        s.name
        for s in elf.get_section_by_name(".dynsym").iter_symbols()
        if s["st_shndx"] == "SHN_UNDEF"
    }
    python = {name for name in asked if "Py" in name}
    assert asked - python <= {"", "memcpy", "memset", "strcmp", "getauxval"}, (
        "nothing that allocates, locks or prints"
    )
    header = (hatch_build.EXTENSION / "python_abi.h").read_text("utf-8")
    assert len(python) > 30
    assert python <= set(re.findall(r"\b_?Py\w+", header))


def test_no_newer_glibc_than_2_17(elf: Any, platform: str) -> None:
    versions = elf.get_section_by_name(".gnu.version_r")
    found = (
        {aux.name for _, needs in versions.iter_versions() for aux in needs} if versions else set()
    )
    assert bool(found) == ("manylinux" in platform)
    assert all(
        tuple(map(int, re.fullmatch(r"GLIBC_([\d.]+)", name)[1].split("."))) <= (2, 17)
        for name in found
    ), found


def test_memory(elf: Any) -> None:
    """No executable stack, and nothing both writable and executable.

    On ARM, pages of 16 KiB fit (a Raspberry Pi 5).
    """
    segments = {
        kind: [s for s in elf.iter_segments() if s["p_type"] == kind]
        for kind in ("PT_GNU_STACK", "PT_LOAD")
    }
    assert [s["p_flags"] & 1 for s in segments["PT_GNU_STACK"]] == [0]
    for segment in segments["PT_LOAD"]:
        assert segment["p_flags"] & 3 != 3
        assert segment["p_align"] >= (0x1000 if elf["e_machine"] == "EM_X86_64" else 0x4000)


def test_nothing_of_the_machine_that_built_it(content: bytes, elf: Any) -> None:
    assert str(ROOT).encode() not in content
    assert not {s.name for s in elf.iter_sections()} & {".symtab", ".debug_info"}
