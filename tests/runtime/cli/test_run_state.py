"""`edge-lstm run --state FILE`: stopped, killed and started again, it goes on where it was."""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.bundles import make_bundle
from helpers.commands import Pipe, command, csv_of, edge_lstm, environment, here
from helpers.sounds import LOG_MEL, sound, sound_spec, write_whole

ROWS = np.random.default_rng(5).normal(size=(3000, 3)).round(3)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "a.state"


def lines_of(rows: Any) -> str:
    """Every seventh with an id, every eleventh is no sample."""
    found = []
    for k, row in enumerate(rows.tolist()):
        if k % 7 == 3:
            found.append(json.dumps({"id": k, **{f"ch{c}": v for c, v in enumerate(row)}}))
        elif k % 11 == 5:
            found.append("E-3")
        else:
            found.append(",".join(map(repr, row)))
    return "\n".join(found) + "\n"


def whole(bundle: Path, text: str, *options: str) -> str:
    """The answers of a run that is not interrupted."""
    done = edge_lstm("run", bundle, "--input", "-", "--backend", "numpy", *options, text=text)
    assert done.returncode in (0, 1)
    return done.stdout


@pytest.mark.parametrize("options", [(), ("--every", "7")], ids=["all", "every 7th"])
def test_signals_in_a_stream_that_goes_on(
    options: tuple[str, ...], classify_file: Path, state: Path
) -> None:
    """The processes read from one pipe, in which the lines come in pieces of any length."""
    data = lines_of(ROWS).encode()
    draw = random.Random(7)
    out, into = os.pipe()
    fcntl.fcntl(into, fcntl.F_SETPIPE_SZ, 4096)  # so that most lines wait for the next process

    def write() -> None:
        at = 0
        while at < len(data):
            at += os.write(into, data[at : at + draw.choice([1, 30, 1000, 3000])])
            time.sleep(0.001)
        os.close(into)

    writer = threading.Thread(target=write, daemon=True)
    arguments = ("run", classify_file, "--input", "-", "--backend", "numpy", "--state", state)
    found = b""
    codes = []
    writer.start()
    while not codes or codes[-1] in (128 + signal.SIGTERM, 128 + signal.SIGINT):
        process = subprocess.Popen(
            command(*arguments, *options), stdin=out, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=environment(), bufsize=0,
        )  # fmt: skip
        assert process.stdout is not None
        head = process.stdout.read(1)  # an answer is there, so signals are taken
        if len(codes) < 5:
            time.sleep(draw.uniform(0, 0.02))
            process.send_signal(draw.choice([signal.SIGTERM, signal.SIGINT]))
        rest, err = process.communicate(timeout=60)
        found += head + rest
        codes.append(process.returncode)
        assert b"Traceback" not in err
    writer.join()
    os.close(out)
    assert len(codes) >= 4, "every signal came too late"
    assert codes[-1] in (0, 1)
    expected = whole(classify_file, data.decode(), *options)
    if options:  # the last answer is held: the stream may go on
        assert (len(ROWS) - data.count(b"E-3")) % 7
        expected = "".join(expected.splitlines(keepends=True)[:-1])
    assert found.decode() == expected


def test_sound_in_pieces(tmp_path: Path, state: Path) -> None:
    """Pieces of an odd number of samples, and of less than a frame."""
    make_bundle(tmp_path / "a.edge", sound_spec(LOG_MEL))
    pcm = sound(LOG_MEL)
    raw = tmp_path / "a.raw"
    arguments = ("run", tmp_path / "a.edge", "--backend", "numpy", "--format", "s16le")
    arguments = (*arguments, "--every", "4", "--input", raw)
    raw.write_bytes(pcm.tobytes())
    expected = edge_lstm(*arguments).stdout.splitlines(keepends=True)
    found = []
    for part in np.split(pcm, [77, 1501, 1502]):
        raw.write_bytes(part.tobytes())
        done = edge_lstm(*arguments, "--state", state)
        assert (done.returncode, done.stderr) == (0, "")
        found += done.stdout.splitlines(keepends=True)
    assert found == [line for line in expected if json.loads(line)["frame"] % 4 == 0]
    assert len(found) >= 10


def test_killed_it_goes_on_from_the_last_saved_state(classify_file: Path, state: Path) -> None:
    rows = [",".join(map(repr, row)) for row in ROWS[:60].tolist()]
    expected = whole(classify_file, "\n".join(rows)).splitlines()
    options = ("--backend", "numpy", "--state", state, "--save-every", "0.05")
    for at in (20, 40):
        with Pipe("run", classify_file, "--input", "-", *options) as pipe:
            for row in rows[at - 20 : at]:
                pipe.ask(row)
            time.sleep(0.3)  # without a further line, the state is saved when it is due
            pipe.process.send_signal(signal.SIGKILL)
            pipe.process.wait()
        assert [p.name for p in state.parent.iterdir() if p.suffix == ".tmp"] == []
    done = edge_lstm(
        "run", classify_file, "--input", "-", *options, text="\n".join(rows[40:]) + "\n"
    )
    assert done.stdout.splitlines() == expected[40:]


def test_killed_at_any_moment_the_file_is_whole(classify_file: Path, state: Path) -> None:
    draw = random.Random(3)
    rows = lines_of(ROWS).splitlines()
    options = ("--input", "-", "--backend", "numpy", "--state", state, "--save-every", "0.0001")
    for _ in range(4):
        with Pipe("run", classify_file, *options) as pipe:
            threading.Thread(target=feed, args=(pipe, rows), daemon=True).start()
            pipe.answer()
            time.sleep(draw.uniform(0, 0.1))
            pipe.process.send_signal(signal.SIGKILL)
            pipe.process.wait()
    number = json.loads(edge_lstm("run", classify_file, *options, text="1,2,3\n").stdout)["line"]
    assert number > 1


def feed(pipe: Pipe, rows: list[str]) -> None:
    try:
        for row in rows:
            pipe.stdin.write(f"{row}\n".encode())
    except (OSError, ValueError):
        return


def test_a_file_of_another_model(
    classify_file: Path, tmp_path: Path, state: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make_bundle(tmp_path / "other.edge", seed=5)
    (tmp_path / "a.csv").write_text(csv_of(ROWS[:5]))
    options = ("--input", tmp_path / "a.csv", "--backend", "numpy")
    here(capfd, "run", tmp_path / "other.edge", *options, "--state", state)
    fresh = here(capfd, "run", classify_file, *options)
    code, out, err = here(capfd, "run", classify_file, *options, "--state", state)
    assert (code, out) == (0, fresh[1])
    told = f"the states in {state} are of another model; all streams start from zero"
    assert err == f"edge-lstm: {told}\n"
    code, out, err = here(capfd, "run", classify_file, *options, "--state", state)
    assert (code, err) == (0, "")
    assert [json.loads(line)["line"] for line in out.splitlines()] == [6, 7, 8, 9, 10]


def test_a_damaged_file_stays_as_it_is(
    classify_file: Path, tmp_path: Path, state: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.csv").write_text(csv_of(ROWS[:5]))
    options = ("--input", tmp_path / "a.csv", "--backend", "numpy", "--state", state)
    here(capfd, "run", classify_file, *options)
    good = state.read_bytes()
    for data in (b"", b"1,2,3\n", good[:-1], good[:200] + b"\0" + good[201:], good * 2):
        state.write_bytes(data)
        code, out, err = here(capfd, "run", classify_file, *options)
        assert (code, out) == (2, ""), data[:20]
        assert err.count("\n") == 1
        assert "name another file, or delete it to start from zero" in err
        assert state.read_bytes() == data
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv", "a.state"]


def test_one_process_at_a_time(classify_file: Path, state: Path) -> None:
    options = ("run", classify_file, "--input", "-", "--backend", "numpy", "--state", state)
    with Pipe(*options) as pipe:
        pipe.ask("1,2,3")
        done = edge_lstm(*options, text="1,2,3\n")
        assert (done.returncode, done.stdout) == (2, "")
        assert f"{state}: another process holds it" in done.stderr
        assert done.stderr.count("\n") == 1
        assert pipe.ask("1,2,3")["line"] == 2


def test_a_line_that_is_cut_off_by_the_end_of_the_command(classify_file: Path, state: Path) -> None:
    """Half a number may look like a whole one, and what comes next may be another writer."""
    options = ("run", classify_file, "--input", "-", "--backend", "numpy", "--state", state)
    with Pipe(*options) as pipe:
        pipe.ask("1,2,3")
        pipe.stdin.write(b"1,2,")
        time.sleep(0.2)
        pipe.process.send_signal(signal.SIGTERM)
        assert pipe.answer() == {
            "line": 2,
            "error": "the line is cut off: the command was stopped in the middle of it",
        }
        assert pipe.process.wait(20) == 143
    assert json.loads(edge_lstm(*options, text="1,2,3\n").stdout)["line"] == 3


def test_the_reader_of_the_answers_goes_away(classify_file: Path, state: Path) -> None:
    """As when a whole pipeline is stopped: what was read is in the state."""
    options = ("run", classify_file, "--input", "-", "--backend", "numpy", "--state", state)
    with Pipe(*options) as pipe:
        pipe.ask("1,2,3")
        pipe.stdout.close()
        pipe.stdin.write(b"1,2,3\n1,2,3\n")
        pipe.stdin.close()
        assert pipe.process.wait(20) == 0
    assert json.loads(edge_lstm(*options, text="1,2,3\n").stdout)["line"] == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--state", "."), "--state is the folder .; expected a file"),
        (("--state", "none/a.state"), "the folder none is not there"),
        (("--state", "s", "--save-every", "0"), "--save-every is 0.0; expected seconds above 0"),
        (
            ("--state", "s", "--output", "a.wav", "--format", "s16le"),
            "--state is for answers in lines, and --output writes none",
        ),
    ],
)
def test_what_is_refused(
    options: tuple[str, ...],
    message: str,
    classify_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = here(capfd, "run", classify_file, "--input", "-", *options)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_a_model_without_a_state_is_refused(
    tmp_path: Path, state: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_whole(tmp_path / "a.edge")
    code, _, err = here(capfd, "run", tmp_path / "a.edge", "--input", "-", "--state", state)
    assert code == 2
    assert "this one is bidirectional and answers whole sequences" in err
    assert not state.exists()
