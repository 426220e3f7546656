"""`edge-lstm run` on streams: writers that come and go, bursts, lines without an end, --every."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
import tty
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_lstm_runtime as rt
from edge_lstm_runtime.model.npz import write_npz
from helpers.commands import Pipe, command, csv_of, edge_lstm, environment, here
from helpers.specs import language_spec
from helpers.weights import random_weights

ROWS = np.random.default_rng(5).normal(size=(40, 3)).round(3)


def expected(bundle: Path, rows: Any) -> list[dict[str, Any]]:
    """What one session answers, step by step."""
    with rt.load(bundle).session("numpy") as session:
        return [rt.describe(session.spec, session.step(row)) for row in rows]


def answered(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The answers without the lines' numbers."""
    return [{k: v for k, v in line.items() if k != "line"} for line in lines]


class Reading:
    """The command on a FIFO or device."""

    def __init__(self, bundle: Path, source: Path, *options: str):
        self.process = subprocess.Popen(
            command("run", bundle, "--input", source, "--backend", "numpy", "--reopen", *options),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        )
        assert self.process.stdout is not None
        self._out = self.process.stdout

    def __enter__(self) -> Reading:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def answers(self, count: int) -> list[dict[str, Any]]:
        return [json.loads(self._out.readline()) for _ in range(count)]

    def interrupt(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGINT)
        _, err = self.process.communicate(timeout=20)
        return self.process.returncode, err.decode()


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "fifo")
    return tmp_path / "fifo"


def test_reopen_goes_on_with_the_state(classify_file: Path, fifo: Path) -> None:
    with Reading(classify_file, fifo) as run:
        fifo.write_text(csv_of(ROWS[:10]) + "0.1,0.2")
        first = run.answers(11)
        assert first.pop() == {
            "line": 11,
            "error": "the line is cut off: its writer has gone in the middle of it",
        }
        fifo.write_text(csv_of(ROWS[10:]))
        second = run.answers(30)
        assert [line["line"] for line in second] == list(range(12, 42))
        time.sleep(0.1)
        assert run.interrupt() == (130, "edge-lstm: stopped\n")
    assert answered(first + second) == expected(classify_file, ROWS)


def test_reopen_can_be_interrupted_before_the_first_writer(classify_file: Path, fifo: Path) -> None:
    with Reading(classify_file, fifo) as run:
        with fifo.open("wb"):  # returns when the command has opened it
            pass
        assert run.interrupt() == (130, "edge-lstm: stopped\n")


def test_reopen_a_serial_port_from_the_middle_of_a_line(
    classify_file: Path, tmp_path: Path
) -> None:
    def plug_in() -> tuple[int, int]:
        master, slave = os.openpty()
        tty.setraw(slave)
        (tmp_path / "port").unlink(missing_ok=True)
        (tmp_path / "port").symlink_to(os.ttyname(slave))
        return master, slave

    ends = plug_in()
    with Reading(classify_file, tmp_path / "port") as run:
        os.write(ends[0], b"31,-0.2\r\n" + csv_of(ROWS[:3]).replace("\n", "\r\n").encode())
        first = run.answers(4)
        assert "error" in first.pop(0)
        for end in ends:
            os.close(end)
        time.sleep(0.1)
        ends = plug_in()
        os.write(ends[0], csv_of(ROWS[3:]).encode())
        second = run.answers(37)
        assert answered(first + second) == expected(classify_file, ROWS)
    for end in ends:
        os.close(end)


def test_reopen_a_file(classify_file: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1,2,3\n")
    for source, told in (
        (tmp_path / "a.csv", f"and {tmp_path / 'a.csv'} is neither"),
        ("-", "name it as --input, in place of -"),
    ):
        done = edge_lstm("run", classify_file, "--input", source, "--reopen", text="")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("edge-lstm: error: --reopen is for a FIFO or a device")
        assert done.stderr.endswith(f"{told}\n")
        assert done.stderr.count("\n") == 1


# --- every Nth answer ---


@pytest.mark.parametrize(("count", "numbers"), [(40, [12, 23, 34, 41]), (33, [12, 23, 34])])
def test_every(
    count: int,
    numbers: list[int],
    classify_file: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "a.csv").write_text("ch0,ch1,ch2\n" + csv_of(ROWS[:count]))
    code, out, err = here(
        capfd, "run", classify_file, "--input", tmp_path / "a.csv", "--every", "11",
        "--backend", "numpy",
    )  # fmt: skip
    assert (code, err) == (0, "")
    found = [json.loads(line) for line in out.splitlines()]
    assert [line["line"] for line in found] == numbers
    whole = expected(classify_file, ROWS[:count])
    assert answered(found) == [whole[n - 2] for n in numbers]


def test_every_keeps_error_lines(classify_file: Path) -> None:
    text = "1,2,3\nE-3\n1,2,3\n1,2\n1,2,3\n1,2,3\n"
    done = edge_lstm(
        "run", classify_file, "--input", "-", "--every", "3", "--backend", "numpy", text=text
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["line"], "error" in line) for line in found] == [
        (2, True), (4, True), (5, False), (6, False),
    ]  # fmt: skip
    assert done.returncode == 1


def test_every_of_characters(tmp_path: Path) -> None:
    """By their index or as they are: the third, the sixth and the last one."""
    spec = language_spec("abc", hidden=4)
    weights = random_weights(spec)
    xs = np.array([[0.0], [1.0], [2.0], [0.0], [1.0], [2.0], [1.0]])
    with rt.Session(spec, rt.Reference(spec, weights)) as session:
        golden = write_npz({"x": xs, "y": session.run(xs)})
    rt.write_bundle(tmp_path / "a.edge", spec, weights, {"golden.npz": golden})
    whole = expected(tmp_path / "a.edge", xs)
    for text in ("0\n1\n2\n0\n1\n2\n1\n", "".join(f'["{c}"]\n' for c in "abcabcb")):
        done = edge_lstm(
            "run", tmp_path / "a.edge", "--input", "-", "--every", "3", "--backend", "numpy",
            text=text,
        )  # fmt: skip
        found = [json.loads(line) for line in done.stdout.splitlines()]
        assert [line["line"] for line in found] == [3, 6, 7]
        assert answered(found) == [whole[k] for k in (2, 5, 6)]


# --- lines without an end ---


def memory(process: subprocess.Popen[bytes], key: str) -> int:
    """Bytes. key: of /proc/PID/status"""
    text = Path(f"/proc/{process.pid}/status").read_text()
    (line,) = (line for line in text.splitlines() if line.startswith(key + ":"))
    return int(line.split()[1]) << 10


@pytest.mark.parametrize(
    "start", ["", "[1, ", '{"ch0": "', '"'], ids=["csv", "list", "object", "quote"]
)
def test_100_mb_without_a_newline(start: str, classify_file: Path) -> None:
    with Pipe("run", classify_file, "--input", "-", "--backend", "numpy") as pipe:
        pipe.ask("1,2,3")
        idle = memory(pipe.process, "VmHWM")
        pipe.stdin.write(start.encode())
        for _ in range(1600):
            write_all(pipe, b"0" * (1 << 16))
        assert pipe.answer() == {
            "line": 2,
            "error": "more than 1048576 characters in a line; all up to its end is left out; end "
            "each sample with a newline",
        }
        pipe.stdin.write(b"\n")
        assert pipe.ask("1,2,3")["line"] == 3
        assert memory(pipe.process, "VmHWM") - idle < 50 << 20


def write_all(pipe: Pipe, data: bytes) -> None:
    while data:
        data = data[pipe.stdin.write(data) :]


def test_check_names_a_line_that_is_too_long(
    classify_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.csv").write_text("1,2,3\n" + "4" * (1 << 21) + "\n")
    code, _, err = here(capfd, "check", classify_file, "--input", tmp_path / "a.csv")
    assert code == 2
    assert err.startswith("edge-lstm: error: line 2: more than 1048576 characters in a line; ")
    assert err.count("\n") == 1


# --- no answer waits ---


def test_every_line_of_a_burst_is_answered_before_the_next_burst(classify_file: Path) -> None:
    with Pipe("run", classify_file, "--input", "-") as pipe:
        for burst in (1, 2, 300, 1, 8, 130):
            write_all(pipe, b"1,2,3\n" * burst + b"1,")
            for _ in range(burst):
                assert "label" in pipe.answer()
            write_all(pipe, b"2,3\n")
            assert "label" in pipe.answer()


def test_answers_of_a_burst_do_not_wait_for_all_of_it(classify_file: Path) -> None:
    # 64 KiB are there at once. The reader of the answers gets the first ones while it computes.
    lines = b"1,2,3\n" * 10_000
    with Pipe("run", classify_file, "--input", "-") as pipe:
        pipe.ask("1,2,3")
        thread = threading.Thread(target=write_all, args=(pipe, lines), daemon=True)
        thread.start()
        first = os.read(pipe.stdout.fileno(), 1 << 20)
        assert 0 < first.count(b"\n") < 1000
        count = first.count(b"\n")
        while count < 10_000:
            count += os.read(pipe.stdout.fileno(), 1 << 20).count(b"\n")
        thread.join()
