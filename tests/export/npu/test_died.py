"""A converter that dies is no converter that refuses.

Real workers are killed, and stand-ins raise what a Converter raises.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from edge_lstm_export import export_run
from edge_lstm_export.npu.rknn import convert as rknn_convert
from edge_lstm_export.npu.rknn import trace
from edge_lstm_export.npu.rknn.conversion import Conversion
from edge_lstm_export.npu.rknn.environment import ENVIRONMENT
from edge_lstm_export.npu.worker import making
from edge_lstm_export.npu.worker.content import digest_of, listed
from edge_lstm_export.npu.worker.environment import STAMP
from edge_lstm_export.npu.worker.folder import PREFIX
from edge_lstm_runtime import ConversionError, read_bundle
from edge_lstm_runtime.cli import main
from edge_lstm_runtime.errors import ConverterDiedError
from edge_lstm_runtime.files import sealed_json
from helpers import stand_in
from helpers.commands import command
from helpers.commands import environment as variables
from helpers.converter import NEEDS_CONVERTER, convert
from helpers.faults import fails, gone, processes, while_building, works
from helpers.flips import silent
from helpers.on_request import ON_REQUEST

MEMBER = "rk3588-fp16.rknn"


# --- without the converter ---


@pytest.fixture
def dies(monkeypatch):
    """dies(times, retry): a stand-in that dies so many times in the form "fused". Gives the list of
    its starts."""

    def install(times: int, *, retry: bool = True) -> list[str]:
        started: list[str] = []

        class Dying(stand_in.StandIn):
            def __init__(self, conversion: Conversion, **options):
                if b"LSTM" in conversion.graph:
                    started.append("fused")
                    if len(started) <= times:
                        raise ConverterDiedError("rknn-toolkit2 was killed (SIGKILL)", retry=retry)
                super().__init__(conversion, **options)

        stand_in.install(monkeypatch)
        for module in (rknn_convert, trace):
            monkeypatch.setattr(module, "Converter", Dying)
        return started

    return install


def forms(work) -> dict[str, str]:
    return {c.form: c.refused for c in work.candidates[MEMBER]}


def test_one_death_changes_nothing(dies, trained, tmp_path):
    said: list[str] = []
    started = dies(1)
    work = export_run(trained, tmp_path / "a.edge", schemes=("fp16",), say=said.append)
    assert started == ["fused", "fused"]
    assert set(forms(work).values()) == {""}
    assert work.doubts == ()
    assert "  rknn-toolkit2 was killed (SIGKILL); once more" in said
    undisturbed = tmp_path / "b.edge"
    dies(0)
    export_run(trained, undisturbed, schemes=("fp16",))
    assert undisturbed.read_bytes() == (tmp_path / "a.edge").read_bytes()


@pytest.mark.parametrize(("retry", "starts"), [(True, 2), (False, 1)])
def test_a_form_that_died_is_told_everywhere(dies, trained, tmp_path, capsys, retry, starts):
    started = dies(9, retry=retry)
    out = tmp_path / "a.edge"
    command_line = ["export", str(trained.path), "--scheme", "fp16", "-o", str(out)]
    assert main(command_line) == 1
    assert len(started) == starts
    note = (
        "rk3588 fp16 was made without the form fused, because rknn-toolkit2 was killed (SIGKILL); "
        "the same command may choose it another time: run it again"
    )
    assert capsys.readouterr().out.splitlines()[-1] == f"DOUBTFUL: {note}"
    assert note in read_bundle(out).manifest["notes"]
    assert note in out.with_suffix(".html").read_text()


def test_a_form_that_is_refused_is_no_doubt(monkeypatch, trained, tmp_path):
    class Refusing(stand_in.StandIn):
        def __init__(self, conversion: Conversion, **options):
            if b"LSTM" in conversion.graph:
                raise ConversionError("rknn-toolkit2 failed in build")
            super().__init__(conversion, **options)

    stand_in.install(monkeypatch)
    monkeypatch.setattr(rknn_convert, "Converter", Refusing)
    work = export_run(trained, tmp_path / "a.edge", schemes=("fp16",))
    assert forms(work)["fused"] == "rknn-toolkit2 failed in build"
    assert work.doubts == ()


# --- with it ---


def killed_once(tmp: Path, moment: str) -> threading.Thread:
    """The first worker is killed: as soon as it is there, or while it builds."""
    if moment == "builds":
        return while_building(tmp, lambda worker: os.kill(worker, signal.SIGKILL))

    def watch() -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if workers := processes(f"{tmp}/{PREFIX}"):
                os.kill(workers[0], signal.SIGKILL)
                return
            time.sleep(0.001)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


@NEEDS_CONVERTER
@pytest.mark.slow
@pytest.mark.parametrize("moment", [pytest.param("loads", marks=ON_REQUEST), "builds"])
def test_one_killed_worker_changes_nothing(trained, tmp, tmp_path, moment):
    said: list[str] = []
    thread = killed_once(tmp, moment)
    work = export_run(trained, tmp_path / "a.edge", schemes=("fp16",), say=said.append)
    thread.join()
    again = [line for line in said if line.endswith("; once more")]
    assert len(again) == 1
    assert "killed (SIGKILL)" in again[0]
    assert "damaged" not in again[0]
    assert set(forms(work).values()) == {""}
    assert work.doubts == ()
    undisturbed = export_run(trained, tmp_path / "b.edge", schemes=("fp16",))
    kept = [w.artifacts[MEMBER].form.name for w in (work, undisturbed)]
    assert kept[0] == kept[1]


@NEEDS_CONVERTER
@pytest.mark.slow
def test_killed_while_it_is_loaded_blames_no_environment(model, tmp):
    thread = killed_once(tmp, "loads")
    said = fails(lambda: convert(model), r"can't be loaded: was killed \(SIGKILL\)")
    thread.join()
    assert "damaged" not in said
    works(model)


@NEEDS_CONVERTER
@pytest.mark.slow
def test_killed_on_the_simulator_ends_in_one_line(trained, tmp, tmp_path):
    """The stream's state is lost with the worker, so the export fails."""

    def kill(line: str) -> None:
        if "] NPU conversion" in line:
            for worker in processes(f"{tmp}/{PREFIX}"):
                os.kill(worker, signal.SIGKILL)

    out = tmp_path / "a.edge"
    with pytest.raises(ConverterDiedError, match=r"^rknn-toolkit2 \(rk3588 fp16\) was killed"):
        export_run(trained, out, schemes=("fp16",), say=kill)
    assert not out.exists()


@NEEDS_CONVERTER
@pytest.mark.slow
@pytest.mark.usefixtures("tmp")
@pytest.mark.parametrize("name", ["model.onnx", "dataset.txt", "calibration_0_0.npy"])
def test_a_file_that_changes_before_the_converter_reads_it(model, monkeypatch, name):
    write = Conversion.write

    def flipped(self: Conversion, folder: Path) -> dict[str, str]:
        digests = write(self, folder)
        content = bytearray((folder / name).read_bytes())
        content[-2] ^= 1
        (folder / name).write_bytes(content)
        return digests

    monkeypatch.setattr(Conversion, "write", flipped)
    fails(
        lambda: convert(model, scheme="w8a8"),
        f"failed in build: RuntimeError: {name} has changed since it was written",
    )


@NEEDS_CONVERTER
@pytest.mark.slow
@pytest.mark.usefixtures("tmp")
def test_a_model_that_changes_before_it_is_read(model, monkeypatch):
    read = Path.read_bytes

    def flipped(path: Path) -> bytes:
        content = bytearray(read(path))
        if path.name == "model.rknn":
            content[len(content) // 2] ^= 1
        return bytes(content)

    monkeypatch.setattr(Path, "read_bytes", flipped)
    fails(lambda: convert(model), "wrote a model that was changed before it was read")


@NEEDS_CONVERTER
@pytest.mark.slow
@pytest.mark.parametrize("step", ["7", pytest.param("9", marks=ON_REQUEST)])
def test_interrupted_export_ends_soon(trained, tmp, tmp_path, step):
    """In the conversion (step 7), and while the tensors are inspected (step 9).

    Not after the conversion, which takes longer than the limit. On an idle machine it is 0.3 s.
    """
    making.interpreter(ENVIRONMENT, lambda _: None)
    export = subprocess.Popen(
        command("export", trained.path, "-o", tmp_path / "a.edge"),
        env=variables() | {"TMPDIR": str(tmp)},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert export.stderr is not None
    try:
        for line in export.stderr:
            if line.startswith(f"[{int(step) - 1}/"):
                break
        end = time.monotonic() + 60
        while not processes(f"{tmp}/{PREFIX}"):
            assert time.monotonic() < end
            time.sleep(0.01)
        time.sleep(0.7)  # the vendor's code is being imported, or builds
        began = time.monotonic()
        export.send_signal(signal.SIGINT)
        rest = ""
        seconds = 0.0
        for line in export.stderr:
            rest += line
            if line == "edge-lstm: stopped\n":
                seconds = time.monotonic() - began  # the rest is the interpreter's own end
        code = export.wait(timeout=60)
    finally:
        export.kill()
        export.wait()
        export.stderr.close()
    assert code == 130, rest
    assert rest.splitlines()[-1] == "edge-lstm: stopped"
    assert "Traceback" not in rest
    assert "was killed" not in rest
    assert 0 < seconds < 8
    assert gone(f"{tmp}/{PREFIX}")
    assert not list(tmp_path.glob("*.log"))
    assert not (tmp_path / "a.edge").exists()


# --- the stamp of the converter's environment ---


def test_a_flipped_bit_in_the_stamp(tmp_path, monkeypatch):
    """It is no other environment, but a damaged one."""
    monkeypatch.setenv("EDGE_LSTM_CACHE", str(tmp_path))
    home = ENVIRONMENT.home
    (home / "bin").mkdir(parents=True)
    (home / "bin/python").symlink_to("/bin/sh")
    stamp = {"files": 1, "bytes": 7, "python": "3.11.7", "rknn-toolkit2": "2.3.2"}
    stamp |= {"asked": ENVIRONMENT.asked(), "content": digest_of(home, listed(home, "-"))}
    path = home / STAMP
    path.write_bytes(sealed_json(stamp))
    whole = ENVIRONMENT.state()
    assert (whole.damage, whole.python, whole.tool) == (None, "3.11.7", "2.3.2")
    assert not silent(path, ENVIRONMENT.state, lambda s: s == whole or s.damage is not None)
