"""Boards that answer something else, over a real sshd. Nothing that they say is believed."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import edge_lstm_runtime
from edge_lstm_export.fleet.answers import AnswerError, line_object, running
from edge_lstm_export.fleet.asking import ask
from edge_lstm_export.fleet.deploying import Deployed, deploy
from edge_lstm_export.fleet.package import read_package
from helpers.boards import free_port, program, script
from helpers.bundles import make_bundle
from helpers.commands import edge_lstm
from helpers.generated import PROPERTY

Answer = Callable[..., Deployed]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "a.edge"
    make_bundle(path)
    return path


@pytest.fixture
def answer(fleet: Any, bundle: Path, tmp_path: Path) -> Answer:
    """A deploy to a board whose program is these lines of a shell."""

    def answered(lines: str, seconds: float = 30) -> Deployed:
        command = script(tmp_path / "odd", f"cat >/dev/null\n{lines}")
        package = read_package(bundle, [])
        return deploy(fleet.host("x", command), package, said_steps.append, seconds)

    said_steps: list[str] = []
    return answered


def said(bundle: Path, **others: Any) -> str:
    """A line of the shell that prints a good answer, with other values."""
    digest = hashlib.sha256(bundle.read_bytes()).hexdigest()
    values = {
        "result": "installed", "name": "a", "version": None, "digest": digest, "was": None,
        "backend": "numpy", "p50_us": 12.5, "p99_us": 20, "nrmse": 1e-7, "step": "swap",
        "why": None, **others
    }  # fmt: skip
    return f"printf '%s\\n' '{json.dumps(values)}'"


def test_noise_of_a_login_around_the_answer(answer: Answer, bundle: Path) -> None:
    lines = (
        "echo 'Welcome {to} the board'; printf '\\033[2J{\"step\": 3}\\n\\377\\000'\n"
        "echo '{\"step\": \"check\"}'; printf 'no end of a line: '\n"
        f"{said(bundle)}\necho bye; echo more noise >&2"
    )
    found = answer(lines)
    assert (found.result, found.runs.backend, found.runs.p99_us) == ("installed", "numpy", 20)


@pytest.mark.parametrize(
    ("others", "end", "why"),
    [
        ({"result": "fine"}, "", "its answer is 'fine', expected one of installed, already"),
        ({"digest": "0" * 64}, "", "runs other bytes (sha256 000000000000)"),
        ({"digest": None}, "", "runs other bytes (sha256 unknown)"),
        ({}, "exit 3", "it said 'installed' and ended with code 3"),
        ({"result": "refused"}, "exit 0", "it said 'refused' and ended with code 0"),
        ({"p50_us": "fast"}, "", "its answer has 'fast' as p50_us, expected a number from 0"),
        ({"p99_us": True}, "", "has True as p99_us, expected a number"),
        ({"nrmse": float("inf")}, "", "has inf as nrmse, expected a number"),
        ({"version": 10**400}, "", "as version, expected a whole number"),
        ({"why": {}}, "", "has {} as why, expected a text"),
    ],
)
def test_an_answer_that_cannot_be_believed(
    answer: Answer, bundle: Path, others: dict[str, Any], end: str, why: str
) -> None:
    found = answer(f"{said(bundle, **others)}\n{end}")
    assert found.result == "failed"
    assert why in str(found.why)


def test_controls_of_a_board_are_escaped_and_long_texts_cut(
    fleet: Any, bundle: Path, tmp_path: Path
) -> None:
    evil = "\x1b]0;title\x07\u202e" + "long" * 1000
    steps = f"printf '%s\\n' '{json.dumps({'step': evil})}'"
    lines = f"{steps}\n{said(bundle, result='refused', why=evil, name=evil)}\nexit 2"
    command = script(tmp_path / "evil", f"cat >/dev/null\n{lines}")
    done = edge_lstm("deploy", bundle, *fleet.flags("x", command))
    assert done.returncode == 1
    assert "\\x1b]0;title\\x07\\u202e" in done.stdout
    assert "…" in done.stdout
    for stream in (done.stdout, done.stderr):
        assert all(line.isprintable() for line in stream.split("\n"))
        assert len(stream) < 3000


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ('yes \'{"step": "check"}\'', "it said more than 1048576 bytes"),
        ("head -c 200000 /dev/zero", "or a line of more than 65536"),
        ("exit 0", "ended with code 0 and without an answer"),
        ("echo '{\"result\": 3}'", "ended with code 0 and without an answer"),
        ("echo no disk >&2; exit 9", "ended with code 9 and without an answer: no disk"),
        ("kill -9 $$", "the connection was lost, or `"),
    ],
)
def test_no_answer(answer: Answer, lines: str, why: str) -> None:
    found = answer(lines)
    assert found.result == "failed"
    assert why in str(found.why)


def test_a_connection_that_is_lost_after_the_board_has_begun(answer: Answer) -> None:
    found = answer('echo \'{"step": "check"}\'; sleep 1; kill -9 $PPID; sleep 5')
    assert (found.result, found.step) == ("failed", "check")
    assert str(found.why).endswith("; the board ends by itself: run the same command again")


def test_a_board_that_hangs_is_left_in_time(answer: Answer) -> None:
    start = time.monotonic()
    found = answer("exec sleep 60", 1.5)
    assert found.result == "failed"
    assert found.why == "there was no answer within 1.5 s; `edge-lstm fleet status` asks it again"
    assert time.monotonic() - start < 20


def test_a_process_that_keeps_the_connection_open(
    answer: Answer, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a service that a reload started by hand, with our pipe as its output."""
    monkeypatch.setattr("edge_lstm_export.fleet.ssh.LEFT", 0.5)
    assert answer(f"sleep 20 &\n{said(bundle)}").result == "installed"


def test_no_program_on_the_board(fleet: Any, bundle: Path) -> None:
    host = fleet.host("x", "no-such-edge-lstm")
    for found in (deploy(host, read_package(bundle, []), str, 30), ask(host, 30)):
        assert not found.good
        assert re.fullmatch(
            "`no-such-edge-lstm` can't be run there: .* not found; install edge-lstm-runtime on "
            "the board, or name the program there by --command",
            str(found.why),
        )


def test_a_runtime_of_before_install(fleet: Any, bundle: Path, tmp_path: Path) -> None:
    package = Path(edge_lstm_runtime.__file__).parent
    shutil.copytree(
        package, tmp_path / package.name, ignore=shutil.ignore_patterns("install", "install.py")
    )
    command = program(tmp_path / "old", PYTHONPATH=str(tmp_path))
    host = fleet.host("x", command)
    package = read_package(bundle, [])
    for found in (deploy(host, package, str, 30), ask(host, 30)):
        assert found.why == (
            f"`{command}` there is an older edge-lstm-runtime, without `install`; update it on the "
            "board"
        )


def test_boards_that_ssh_does_not_reach(fleet: Any, tmp_path: Path) -> None:
    """Nobody at the port, a host key that is not known, and a user who is not let in."""
    (tmp_path / "known").touch()
    stranger = f"--ssh-option=UserKnownHostsFile={tmp_path / 'known'}"
    nobody = "--ssh-option=PubkeyAuthentication=no"
    flags = fleet.flags("x")
    cases = [
        ([*flags, f"--port={free_port()}"], "Connection refused; try `ssh "),
        ([stranger, *flags], "Host key verification failed.; try `ssh "),  # ssh takes the first one
        ([nobody, *flags], "Permission denied (publickey).; try `ssh "),
    ]
    for options, why in cases:
        done = edge_lstm("fleet", "status", "--json", *options)
        (row,) = json.loads(done.stdout)["boards"]
        assert (done.returncode, row["state"]) == (1, "unreachable"), row
        assert why in row["why"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
FIELDS = ("name", "version", "digest", "backend", "p50_us", "p99_us", "nrmse")


@PROPERTY
@given(st.binary(max_size=50), st.dictionaries(st.sampled_from([*FIELDS, "result"]), JSON))
def test_any_line(before: bytes, values: dict[str, Any]) -> None:
    line_object(before, "result")
    found = line_object(before.replace(b"{", b"") + json.dumps(values).encode(), "result")
    assert (found is not None) == isinstance(values.get("result"), str)
    told = ""
    try:
        got = running(values)
        told = "".join(t for t in (got.name, got.digest, got.backend) if t)
    except AnswerError as e:
        told = str(e)
    assert told.isprintable()
    assert len(told) <= 192


def test_a_line_of_nothing_but_braces_takes_no_time() -> None:
    start = time.monotonic()
    assert line_object(b"{" * 65535, "result") is None
    assert line_object(b'{"a":' * 13000, "result") is None
    assert time.monotonic() - start < 5
