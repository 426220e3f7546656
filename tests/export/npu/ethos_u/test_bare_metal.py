"""The folder of C built for Cortex-M by its own CMakeLists.txt, and run on QEMU's Cortex-M55. A
driver of the tests stands in the place of Arm's driver and NPU: no simulator of it is at hand."""

from __future__ import annotations

import io
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edge_lstm_export import export_c
from edge_lstm_export.c.style import CStyle
from edge_lstm_export.npu.ethos_u.environment import ENVIRONMENT
from edge_lstm_export.npu.ethos_u.targets import targets
from edge_lstm_export.npu.worker.making import interpreter
from edge_lstm_runtime import load
from edge_lstm_runtime.backends.registry import open_backend
from edge_lstm_runtime.backends.tosa.program import unpack
from edge_lstm_runtime.cli import main
from helpers.c_folder import run
from helpers.ethos_u import DRIVER, Board, Npu, library, raw, table
from helpers.paths import ROOT
from helpers.tosa_recorded import Recorded

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(shutil.which(p) is None for p in ("arm-none-eabi-gcc", "cmake", "qemu-system-arm")),
        reason="arm-none-eabi-gcc, cmake or qemu-system-arm is not installed",
    ),
]
PAGE = ROOT / "docs" / "ethos-u.md"
MEMBER = "ethos-u55-128-a16w8.tosa"
QEMU = (
    *("qemu-system-arm", "-M", "mps3-an547", "-nographic", "-monitor", "none", "-serial", "none"),
    *("-semihosting-config", "enable=on,target=native", "-kernel"),
)


def printed() -> list[str]:
    """The commands of the page that build the folder."""
    section = PAGE.read_text("utf-8").split("## Bare metal")[1].split("\n## ")[0]
    return re.findall(r"^(?:edge-lstm|cmake) .*", section, re.MULTILINE)


def driver(folder: Path, bundle, member: str) -> Path:
    """A copy of the stand-in with a table of its steps."""
    made = shutil.copytree(DRIVER, folder)
    (made / "table.h").write_text(table(bundle, member, 50))
    return made


def built(folder: Path, stand_in: Path, cpu: str) -> Path:
    where = folder / "build" / cpu
    options = [f"-DCPU={cpu}", f"-DETHOSU_DRIVER={stand_in}"]
    for command in (
        ["cmake", "-S", folder / "ethos-u", "-B", where, *options],
        ["cmake", "--build", where],
    ):
        done = run(*command)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "warning:" not in done.stdout + done.stderr
    return where / "model_npu.elf"


def spoiled(text: str, name: str) -> str:
    """The first value of an array with a 9 before it."""
    array = text.index(f"_golden_{name}[")
    first = text.index("{", text.index("{", array) + 1) + 1
    return f"{text[:first]}9{text[first:]}"


def test_the_program_runs_on_cortex_m55_and_links_for_m85(tmp_path, monkeypatch):
    recorded = Recorded("lstm")
    bundle = recorded.bundle(tmp_path, {"a.npz": raw(recorded)})
    monkeypatch.setattr("edge_lstm_export.c.export.build_and_run", lambda *_: None)
    folder = export_c(bundle, tmp_path / "c", style=CStyle(npu="ethos-u55-128")).folder
    stand_in = driver(tmp_path / "driver", bundle, "a.tosa")
    done = run(*QEMU, built(folder, stand_in, "cortex-m55"))
    assert done.stdout.splitlines()[:2] == ["40 golden steps: 0 of 160 outputs differ", "PASS"]
    assert done.returncode == 0
    answers = [line.split() for line in done.stdout.splitlines()[2:]]
    first = open_backend("tosa", bundle).step(bundle.golden[0][0].astype(np.float32))
    assert [name for name, _ in answers] == ["p", "q", "r", "s"]
    np.testing.assert_allclose([float(y) for _, y in answers], first, rtol=1e-5)
    # An output that is not the integers' is seen, and so is a driver that fails.
    golden = folder / "ethos-u" / "model_npu_golden.h"
    text = golden.read_text()
    for name, line in (
        ("outputs", "40 golden steps: 1 of 160 outputs differ"),
        ("features", "step 0: the driver returned -22"),
    ):
        golden.write_text(spoiled(text, name))
        done = run(*QEMU, built(folder, stand_in, "cortex-m55"))
        assert done.stdout.splitlines()[:2] == [line, "FAIL"]
        assert done.returncode == 1
    elf = built(folder, stand_in, "cortex-m85")
    sections = run("arm-none-eabi-size", "-A", elf).stdout
    assert re.search(r"^\.npu +\d+ +822083584$", sections, re.MULTILINE)  # 0x31000000: no TCM


def test_a_build_without_the_driver_says_so(tmp_path, monkeypatch):
    recorded = Recorded("gru")
    bundle = recorded.bundle(tmp_path, {"a.npz": raw(recorded)})
    monkeypatch.setattr("edge_lstm_export.c.export.build_and_run", lambda *_: None)
    folder = export_c(bundle, tmp_path / "c", style=CStyle(npu="ethos-u55-128")).folder
    done = run("cmake", "-S", folder / "ethos-u", "-B", tmp_path / "build")
    assert done.returncode != 0
    assert "give -DETHOSU_DRIVER=..., see the top of CMakeLists.txt" in done.stderr


@pytest.mark.skipif(
    ENVIRONMENT.unsupported_reason() is not None, reason=f"{ENVIRONMENT.unsupported_reason()}"
)
def test_the_commands_of_the_page_with_a_compiled_model(exported, tmp_path, monkeypatch):
    """On this machine all golden samples too: answers are the backend's "tosa" to the bit."""
    bundle = load(exported).bundle
    shutil.copy(exported, tmp_path / "NAME.edge")
    driver(tmp_path / "PATH", bundle, MEMBER)
    monkeypatch.chdir(tmp_path)
    export, *cmake = printed()
    assert main(shlex.split(export)[1:]) == 0
    for command in cmake:
        done = subprocess.run(command, shell=True, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    assert run(*QEMU, "FOLDER/build/npu/model_npu.elf").stdout.splitlines()[1] == "PASS"
    board = Board(library(Path("FOLDER"), tmp_path / "npu.so"), Npu(bundle, MEMBER), bundle.spec)
    board.start()
    samples = bundle.golden[0]
    session = load(exported).session("tosa", artifact=MEMBER, verify=False)
    assert np.array_equal(board.run(samples), session.run(samples))
    check_places(bundle, tmp_path)


def check_places(bundle, folder: Path) -> None:
    """The places that the .npz gives to x, y and the states are those where Vela, asked again,
    says that the tensors lie."""
    chip = targets()["ethos-u55-128"]
    (folder / "net.tosa").write_bytes(bundle.member(MEMBER.replace(".tosa", ".flatbuffer")))
    done = run(
        *(interpreter(ENVIRONMENT, print), "-m", "ethosu.vela", folder / "net.tosa"),
        *("--output-format=raw", f"--output-dir={folder}", "--verbose-allocation"),
        *(f"--accelerator-config={chip.name}", "--config=Arm/vela.ini"),
        *(f"--system-config={chip.system_config}", f"--memory-mode={chip.memory_mode}"),
    )
    assert done.returncode == 0, done.stderr
    told = {
        name: int(at, 16)
        for at, name in re.findall(r": +(0x\w+) - .* (\S+)$", done.stdout, re.MULTILINE)
    }
    program, _ = unpack(bundle.member(MEMBER), MEMBER)
    with np.load(io.BytesIO(bundle.member(MEMBER.replace(".tosa", ".npz")))) as file:
        vela = dict(file)
    for kind, first in (("input", "x"), ("output", "y")):
        tensors = dict(zip([first, *bundle.spec.network.state], program[f"{kind}s"], strict=True))
        found = dict(zip(vela[f"{kind}_name"], vela[f"{kind}_offset"], strict=True))
        assert {name: told[tensor] for name, tensor in tensors.items()} == found
