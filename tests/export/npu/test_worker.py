"""The environment and the process of another vendor's converter: a package and a worker of ours."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_lstm_export.npu.rknn.environment import ENVIRONMENT
from edge_lstm_export.npu.worker import making
from edge_lstm_export.npu.worker.child import Tool
from edge_lstm_export.npu.worker.environment import Environment
from edge_lstm_export.npu.worker.process import Process, once_more
from edge_lstm_runtime import ConversionError
from edge_lstm_runtime.errors import ConverterDiedError
from helpers.converter import NEEDS_CONVERTER
from helpers.faults import gone, without_network
from helpers.locks import make_wheel

pytestmark = NEEDS_CONVERTER
WORKER = """
import json, os
import edge_lstm_probe

class Worker:
    def __init__(self, folder):
        self.folder = folder

    def answer(self, operation, job, data):
        if operation == "write":
            (self.folder / "made.bin").write_bytes(data * job["times"])
            return edge_lstm_probe.NAME
        if operation == "abort":
            print("E: about to die", flush=True)
            os.abort()
        raise ValueError("first line\\nunknown " + operation)
"""


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tool]:
    """Its environment is in a cache folder of its own, and made without a network."""
    folder = tmp_path_factory.mktemp("vendor")
    digest = make_wheel(folder / "wheels", "edge_lstm_probe", "NAME = b'probe'\n")
    (folder / "requirements.txt").write_text(f"edge-lstm-probe==1 --hash=sha256:{digest}\n")
    (folder / "worker.py").write_text(WORKER)
    running = sys.version_info[:2]
    environment = Environment(
        tool="edge-lstm-probe",
        folder=folder,
        pythons=(running, running),
        preferred=".".join(map(str, running)),
        imports="import edge_lstm_probe",
        download="1 kB",
        option=" --vendor probe",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGE_LSTM_CACHE", str(folder / "cache"))
        without_network(folder, patch)
        patch.setenv("PIP_FIND_LINKS", str(folder / "wheels"))
        yield Tool(environment, folder / "worker.py", lambda log: re.findall("E: (.+)", log))


def started(tool: Tool, **options: object) -> Process:
    return Process(tool, "toy-1 half", lambda _: {}, **options)  # type: ignore[arg-type]


def test_it_is_made_once_with_progress_and_removed(tool: Tool) -> None:
    said: list[str] = []
    environment = tool.environment
    program = making.interpreter(environment, said.append)
    home = program.parents[1]
    assert said[0].startswith(f"making the converter's environment in {home} (once; downloads ")
    assert "about 1 kB" in said[0]
    found = environment.state()
    assert (found.damage, found.tool) == (None, "1")
    assert re.fullmatch(r"edge-lstm-probe-[0-9a-f]{12}", home.name)
    again: list[str] = []
    making.interpreter(environment, again.append)
    assert again == []
    assert ENVIRONMENT.home.parent == home.parent, "the vendors share a cache folder"
    assert ENVIRONMENT.state().damage == "", "another vendor's is not there"
    assert making.remove(ENVIRONMENT, said.append) == [], "and removing it leaves this one"
    assert making.remove(environment, said.append) == [home]
    assert environment.state().damage == ""


def test_it_answers_with_the_package_of_its_environment(tool: Tool) -> None:
    with started(tool) as process:
        assert process.ask("write", b"ab", job={"times": 3}) == b"probe"
        assert process.read("made.bin") == b"ababab"
        assert process.read("other.bin") == b""
        folder = process._folder
    assert not folder.exists()
    assert gone(str(folder))


def test_a_request_that_fails_says_the_last_line(tool: Tool) -> None:
    message = r"^edge-lstm-probe \(toy-1 half\) failed in read: ValueError: unknown read$"
    with started(tool) as process, pytest.raises(ConversionError, match=message):
        process.ask("read")


def test_a_death_is_told_and_tried_once_more(tool: Tool, tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    said: list[str] = []

    def converted() -> bytes:
        with started(tool, log_file=log) as process:
            return process.ask("abort" if not said else "write", b"a", job={"times": 1})

    assert once_more(converted, said.append) == b"probe"
    (line,) = said
    ended = r"crashed \(SIGABRT\); its whole log is in .*a\.log; once more"
    assert re.fullmatch(rf"  edge-lstm-probe \(toy-1 half\) {ended}", line)
    assert "E: about to die" in log.read_text()


def test_a_damaged_environment_advises_the_command_of_its_vendor(tool: Tool) -> None:
    assert "`edge-lstm converter remove --vendor probe` removes it" in tool.environment.advice()


def test_a_worker_that_can_not_be_loaded(tool: Tool, tmp_path: Path) -> None:
    broken = tmp_path / "worker.py"
    broken.write_text("import no_such_package\n")
    with pytest.raises(ConversionError, match="can't be loaded: ModuleNotFoundError") as caught:
        started(Tool(tool.environment, broken))
    assert not isinstance(caught.value, ConverterDiedError)
