"""What `edge-lstm bench --json` states of the machine."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from edge_lstm_runtime import native
from edge_lstm_runtime.errors import BackendUnavailableError, BundleError
from edge_lstm_runtime.verify import stated as module
from edge_lstm_runtime.verify.stated import stated
from helpers.bundles import make_bundle

# As an RK3588 writes it, shortened to two cores of each kind.
TWO_KINDS = """processor\t: 0
BogoMIPS\t: 48.00
Features\t: fp asimd fphp asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU part\t: 0xd05

processor\t: 1
Features\t: fp asimd fphp asimddp
CPU implementer\t: 0x41
CPU part\t: 0xd05

processor\t: 4
Features\t: fp asimd fphp asimddp
CPU implementer\t: 0x41
CPU part\t: 0xd0b

processor\t: 5
Features\t: fp asimd fphp asimddp
CPU implementer\t: 0x41
CPU part\t: 0xd0b

Serial\t\t: 1234
"""
# As a Raspberry Pi 2 with 32 bits: a name and a part for each core, and then the board.
OF_32_BITS = """processor\t: 0
model name\t: ARMv7 Processor rev 5 (v7l)
Features\t: half thumb neon vfpv4
CPU implementer\t: 0x41
CPU part\t: 0xc07

Hardware\t: BCM2835
"""


def read_from(patched: pytest.MonkeyPatch, folder: Path, **texts: str) -> None:
    """The kernel's files, of which the others are missing."""
    patched.setattr(module, "_CPU", f"{folder}/")
    for name in ("_CPU_INFO", "_BOARD"):
        patched.setattr(module, name, str(folder / name))
    for name, text in texts.items():
        (folder / name).write_text(text)


def test_a_board_with_cores_of_two_kinds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "net.edge")
    read_from(
        monkeypatch,
        tmp_path,
        _CPU_INFO=TWO_KINDS,
        _BOARD="Orange Pi 5\0",
        scaling_governor="schedutil\n",
    )
    found = stated(bundle, tmp_path / "net.edge")
    assert found["cpu"] == [
        "2 x implementer 0x41, part 0xd05",
        "2 x implementer 0x41, part 0xd0b",
    ]
    assert found["features"] == ["asimd", "asimddp", "fp", "fphp"]
    assert (found["board"], found["governor"]) == ("Orange Pi 5", "schedutil")


def test_a_board_of_32_bits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "net.edge")
    read_from(monkeypatch, tmp_path, _CPU_INFO=OF_32_BITS)
    found = stated(bundle, tmp_path / "net.edge")
    assert found["cpu"] == ["1 x implementer 0x41, part 0xc07"]
    assert found["features"] == ["half", "neon", "thumb", "vfpv4"]


def test_a_machine_that_tells_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No /proc, no /sys, and no native library."""

    def missing() -> tuple[str, ...]:
        raise BackendUnavailableError("no library")

    bundle = make_bundle(tmp_path / "net.edge")
    read_from(monkeypatch, tmp_path)
    monkeypatch.setattr(native, "kernels", missing)
    found = stated(bundle, tmp_path / "net.edge")
    told = {name: found[name] for name in ("cpu", "features", "board", "governor", "kernels")}
    assert told == {"cpu": [], "features": [], "board": "", "governor": "", "kernels": []}
    assert (found["machine"], found["cores"]) == (platform.machine(), os.cpu_count())


def test_the_file_is_gone(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "net.edge")
    with pytest.raises(BundleError, match=r"gone\.edge: can't be read"):
        stated(bundle, tmp_path / "gone.edge")
