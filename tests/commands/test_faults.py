"""Every command, and what a machine may do to it: one line, a documented exit code, no traceback.

The jobs are in helpers/jobs.py. A job that takes longer than some seconds is marked slow.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edge_lstm_runtime import cli
from edge_lstm_runtime.cli._fault import in_one_line as in_line
from helpers.commands import environment
from helpers.jobs import JOBS, Place, make_place
from helpers.on_request import ON_REQUEST
from helpers.paths import ROOT

if TYPE_CHECKING:
    from edge_lstm import Run

NOBODY = 54321  # a user without an entry in the system's list
FULL = "No space left on device; make room, or send the output elsewhere"
CLOSED = "it is closed; send it elsewhere"
SLOW = {verb for verb, job in JOBS.items() if job.slow}
# The demo is a training and an export, which have their own jobs, and takes a minute each time. A
# search is two trainings, and a process that begins anew.
LONG = dict.fromkeys(("demo", "search"), (pytest.mark.slow, ON_REQUEST))
MARKS = dict.fromkeys(SLOW, pytest.mark.slow) | LONG
VERBS = [pytest.param(v, marks=MARKS.get(v, ())) for v in JOBS]
AND_TRAIN = [pytest.param(v, marks=MARKS.get(v, ()) if v != "train" else ()) for v in JOBS]
WRITING = [verb for verb, job in JOBS.items() if job.writes]
MOMENTS = int(os.environ.get("EDGE_LSTM_MOMENTS", "2"))  # 20 for the figure in the docs


@pytest.fixture(scope="module")
def place(trained: Run) -> Iterator[Place]:
    with tempfile.TemporaryDirectory() as name:
        yield make_place(Path(name), trained)


@pytest.fixture
def out(place: Place) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=place.folder) as name:
        yield Path(name)


def run(
    command: list[str], redirected: str = "", before: str = "", **options: Any
) -> subprocess.CompletedProcess[str]:
    """By a shell, which redirects the streams."""
    env = {**environment(), "EDGE_LSTM_REMEMBER": "0", **options.pop("env", {})}
    for name in options.pop("without", ()):
        env.pop(name, None)
    script = f"{before} exec {shlex.join(command)} {redirected}"
    return subprocess.run(
        ["bash", "-c", script],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        env=env,
        timeout=300,
        check=False,
        **options,
    )


def in_one_line(done: subprocess.CompletedProcess[str], code: int, message: str = "") -> None:
    """The exit code, no traceback, and for an error one line with this message, the last one."""
    assert "Traceback" not in done.stderr, done.stderr
    assert "Exception ignored" not in done.stderr, done.stderr
    assert done.returncode == code, (done.returncode, done.stdout[-500:], done.stderr[-1500:])
    errors = [line for line in done.stderr.splitlines() if line.startswith("edge-lstm: error:")]
    assert len(errors) == (code == 2 and bool(done.stderr)), done.stderr
    if message:
        assert message in done.stderr.splitlines()[-1], done.stderr


def written(verb: str, out: Path) -> None:
    """All of its work is there, and nothing half written."""
    assert [name for name in JOBS[verb].writes if not (out / name).is_file()] == []
    assert [p.name for p in out.rglob("*.tmp")] == []


def test_every_command_has_a_job() -> None:
    endless = {"serve"}  # its faults are in runtime/serve
    assert {name.split()[0] for name in JOBS} == set(cli.verbs()) - endless


def test_the_exit_codes_are_documented() -> None:
    text = (ROOT / "docs" / "commands.md").read_text("utf-8")
    assert re.findall(r"^\| (\d+) \|", text, re.MULTILINE) == ["0", "1", "2", "130", "143"]
    assert re.findall(r"^  (\d+) ", cli.CODES, re.MULTILINE) == ["0", "1", "2", "130", "143"]


# --- the standard streams ---


@pytest.mark.parametrize("verb", VERBS)
def test_without_input_and_with_an_error_stream_that_takes_nothing(
    verb: str, place: Place, out: Path
) -> None:
    """The work is done. Nobody can be told more."""
    done = run(place.command(verb, out), "<&- 2>/dev/full")
    in_one_line(done, JOBS[verb].code)
    written(verb, out)
    assert done.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_a_full_disk_at_the_output(verb: str, place: Place, out: Path) -> None:
    in_one_line(run(place.command(verb, out), ">/dev/full"), 2, FULL)
    written(verb, out)


@pytest.mark.parametrize("verb", AND_TRAIN)
def test_all_streams_closed(verb: str, place: Place, out: Path) -> None:
    in_one_line(run(place.command(verb, out), "<&- >&- 2>&-"), 2)
    written(verb, out)


@pytest.mark.parametrize("verb", ["run", "info"])
@pytest.mark.parametrize(
    ("redirected", "code", "message"),
    [("<&-", 0, ""), (">&-", 2, CLOSED), ("2>&-", 0, ""), (">&- 2>/dev/full", 2, "")],
)
def test_one_stream_closed(
    verb: str, redirected: str, code: int, message: str, place: Place, out: Path
) -> None:
    in_one_line(run(place.command(verb, out), redirected), code, message)
    written(verb, out)


def test_an_input_that_is_closed_is_an_error_and_no_empty_one(place: Place, out: Path) -> None:
    words = place.named(["run", "{bundle}", "--input", "-", "--backend", "numpy"], out)
    done = run([*place.command("info", out)[:3], *words], "<&-")
    in_one_line(done, 2, "can't read standard input: it is closed")


@pytest.mark.parametrize("verb", AND_TRAIN)
def test_a_reader_that_has_gone(verb: str, place: Place, out: Path) -> None:
    """`2>&1 | head -n 0`: a command that writes files goes on, any other ends."""
    command = shlex.join(place.command(verb, out))
    script = f"set -o pipefail; {command} 2>&1 | :"
    goes_on = bool(JOBS[verb].writes)
    # With a buffer the last line fails, and without the first.
    for before in ("unset PYTHONUNBUFFERED;", "export PYTHONUNBUFFERED=1;")[: 1 if goes_on else 2]:
        done = run(["bash", "-c", script], before=before)
        in_one_line(done, JOBS[verb].code if goes_on else 0)
    written(verb, out)


# --- the environment ---


@pytest.mark.parametrize("verb", VERBS)
def test_ascii_and_a_name_that_is_not(verb: str, place: Place, out: Path) -> None:
    strange = place._replace(files={**place.files, "config": place.files["strange"]})
    env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = run(strange.command(verb, out), env=env, without=("PYTHONIOENCODING",))
    in_one_line(done, JOBS[verb].code)
    written(verb, out)


def test_a_name_that_the_output_cannot_show_is_escaped(place: Place, out: Path) -> None:
    env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    wrong = place.files["strange"].read_text("utf-8").replace('"ay"', '"größer"')
    (out / "wrong.toml").write_text(wrong.replace("strange.csv", "../strange.csv"), "utf-8")
    command = [*place.command("info", out)[:3], "train", str(out / "wrong.toml"), "-o", "x"]
    done = run(command, env=env, without=("PYTHONIOENCODING",))
    in_one_line(done, 2, r"there is no column 'gr\xf6\xdfer'")


@pytest.mark.parametrize("verb", VERBS)
def test_a_user_without_a_home(verb: str, place: Place, out: Path) -> None:
    """No HOME, and no entry in the system's list that would have one."""
    as_nobody = ["unshare", "--user", f"--map-user={NOBODY}"]
    if shutil.which("unshare") is None or run([*as_nobody, "true"]).returncode:
        pytest.skip("this system lets nobody be another user (unshare --user)")
    done = run(
        [*as_nobody, *place.command(verb, out)],
        without=("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "EDGE_LSTM_CACHE"),
    )
    if verb in ("converter", "demo"):  # they need the converter's environment, which is in a cache
        in_one_line(done, 2, "there is no folder for the cache: HOME is not set")
        return
    if verb == "sign":  # by ssh-keygen, which works for users of the system alone
        in_one_line(done, 2, "No user exists for uid")
        return
    in_one_line(done, JOBS[verb].code)
    written(verb, out)


# --- where the work goes ---


@pytest.mark.parametrize("verb", WRITING)
def test_a_folder_that_takes_no_file(verb: str, place: Place) -> None:
    """/proc takes none, not even of root."""
    in_one_line(run(place.command(verb, Path("/proc"))), 2, "no file can be made in /proc")


@pytest.mark.parametrize("verb", WRITING)
def test_a_file_in_the_place_of_the_folder(verb: str, place: Place, out: Path) -> None:
    (out / "file").write_text("mine")
    in_one_line(run(place.command(verb, out / "file")), 2, "file")
    assert (out / "file").read_text() == "mine"


@pytest.mark.slow
@pytest.mark.parametrize("verb", WRITING)
@pytest.mark.parametrize("blocks", [0, 4])
def test_a_disk_that_gets_full(verb: str, blocks: int, place: Place, out: Path) -> None:
    """By a limit of a file's size, in KiB: EFBIG in place of ENOSPC, for root too."""
    done = run(place.command(verb, out), before=f"ulimit -f {blocks};")
    if verb in ("init", "sbom", "sign", "run --state") and blocks:  # their files are smaller
        in_one_line(done, 0)
        return
    in_one_line(done, 2)
    assert "File too large" in done.stderr
    assert [p.name for p in out.rglob("*.tmp")] == []


LARGE = """
import resource
from edge_lstm.training.memory import check_memory
from edge_lstm_runtime.model.network import network_from
resource.setrlimit(resource.RLIMIT_AS, (1 << 32, 1 << 32))
for units in (64, 16384):
    lstm = {"type": "lstm", "name": "a", "units": units, "inputs": ["x"]}
    head = {"type": "dense", "name": "head", "units": 3, "inputs": ["a"]}
    check_memory(network_from(6, [lstm, head]))
    print(units)
"""


def test_a_network_that_needs_more_memory_than_there_is() -> None:
    done = run([sys.executable, "-c", LARGE])
    assert done.stdout == "64\n"
    # 4 * 16384 * (6 + 16384 + 1) + 3 * 16384 + 3 weights, each of 16 bytes
    expected = "1,074,249,731 weights needs 17.2 GB to be trained, and 4.3 GB are free; lower"
    assert expected in done.stderr.splitlines()[-1], done.stderr


def test_what_libraries_raise_without_memory_is_one_line() -> None:
    import torch

    for ask in (bytearray, np.empty, torch.empty):
        with pytest.raises((MemoryError, RuntimeError)) as caught:
            ask(1 << 50)
        assert in_line(caught.value) == (
            "there is not enough memory; end other processes, or take a smaller model or less data"
        )
    assert in_line(RuntimeError("a bug")) is None


# --- signals ---

# Python itself has started then. What a signal does to it before is not in our hands.
START = """
import os, sys
from edge_lstm_command import main
os.write({ready}, b".")
sys.exit(main())
"""


def interrupted(
    command: list[str], number: int, after: float, *, group: bool
) -> subprocess.CompletedProcess[str]:
    """after: seconds from the start of the command. group: all of its processes get the signal."""
    ready, told = os.pipe()
    process = subprocess.Popen(
        [command[0], "-c", START.format(ready=told), *command[3:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**environment(), "EDGE_LSTM_REMEMBER": "0"},
        pass_fds=[told],
        start_new_session=True,
        text=True,
    )
    os.close(told)
    os.read(ready, 1)
    os.close(ready)
    time.sleep(after)
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if group else os.kill)(process.pid, number)
    try:
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def check_stopped(done: subprocess.CompletedProcess[str], number: int) -> bool:
    """Whether the signal came in time. It ends the process by itself while nothing is loaded."""
    told = f"number {number}: {done.returncode}\n{done.stdout[-500:]}\n{done.stderr[-3000:]}"
    assert "Traceback" not in done.stderr, told
    assert "Exception ignored" not in done.stderr, told
    assert done.returncode in (0, 1, 128 + number, -number), told
    if done.returncode == 128 + number:
        assert done.stderr.endswith("edge-lstm: stopped\n"), told
    return done.returncode not in (0, 1)


IMPORTING = """
import time
from edge_lstm_runtime.cli._stop import signals
with signals() as stop:
    stop.began = True
    try:
        import slow
        time.sleep(5)
    except KeyboardInterrupt:
        print("whole" if hasattr(slow, "last") else "cut off", stop.code)
"""
SLOW_MODULE = """
import os, signal, time
os.kill(os.getpid(), signal.SIGTERM)
end = time.monotonic() + {seconds}
while time.monotonic() < end:
    time.sleep(0.01)
last = 1
"""


@pytest.mark.parametrize(
    ("seconds", "code", "said"), [(0.1, 0, "whole 143\n"), (20, 143, "")], ids=["short", "long"]
)
def test_a_signal_in_an_import(seconds: float, code: int, said: str, tmp_path: Path) -> None:
    """An exception there would abort PyTorch's. A short import ends first, a long one at once."""
    (tmp_path / "slow.py").write_text(SLOW_MODULE.format(seconds=seconds))
    start = time.monotonic()
    done = run([sys.executable, "-c", IMPORTING], cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, said), done.stderr
    assert done.stderr == ("edge-lstm: stopped\n" if code else "")
    assert time.monotonic() - start < 15


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
@pytest.mark.parametrize("verb", ["run", "info", "recipes"])
def test_signals_at_some_moments(verb: str, number: int, place: Place, out: Path) -> None:
    draw = random.Random(f"{verb} {number}")
    for group in (False, True):
        check_stopped(
            interrupted(place.command(verb, out), number, draw.uniform(0, 0.6), group=group), number
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGINT, marks=ON_REQUEST), signal.SIGTERM], ids=lambda n: n.name
)
@pytest.mark.parametrize("verb", VERBS)
def test_signals_at_random_moments(verb: str, number: int, place: Place, out: Path) -> None:
    """Of a whole run's time, and in the imports at its beginning."""
    start = time.monotonic()
    assert run(place.command(verb, out)).returncode == JOBS[verb].code
    whole = time.monotonic() - start
    draw = random.Random(f"{verb} {number}")
    stopped = 0
    for k in range(MOMENTS):
        folder = out / str(k)
        folder.mkdir()
        after = draw.uniform(0, whole if k % 2 else min(whole / 2, 6))
        done = interrupted(place.command(verb, folder), number, after, group=bool(k // 2 % 2))
        stopped += check_stopped(done, number)
        assert [p.name for p in folder.rglob("*.tmp")] == []
    assert stopped, "every signal came too late"
