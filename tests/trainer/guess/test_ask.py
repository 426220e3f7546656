"""`edge-lstm init` as it is typed: questions on a terminal, files that are there, options."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from edge_lstm.guess.ask import Ask, columns, steps
from edge_lstm.guess.guessed import guessed
from edge_lstm.guess.roles import Stated
from edge_lstm_runtime import cli
from edge_lstm_runtime.errors import ConfigError
from helpers.commands import environment
from helpers.odd_tables import table


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def asked(path: Path, typed: str) -> tuple[str, str]:
    """The file that is written, and all that was asked."""
    out = io.StringIO()
    ask = Ask(yes=False, lines=Terminal(typed), out=out)
    return guessed(path, path.parent / "o.toml", Stated(), ask).text, out.getvalue()


@pytest.fixture
def plant(tmp_path: Path) -> Path:
    path = tmp_path / "plant.csv"
    path.write_text(table(("state", "a", "b"), 900, lambda i: ("on", "off")[i // 30 % 2]))
    return path


def test_enter_takes_the_guess_as_yes_does(plant: Path) -> None:
    text, said = asked(plant, "\n\n\n")
    assert text == guessed(plant, plant.parent / "o.toml", Stated(), Ask(yes=True)).text
    assert said == "Task (the class changes inside of recordings) [tag]: "


def test_another_task_asks_for_its_own_things(plant: Path) -> None:
    text, said = asked(plant, "forcast\nforecast\nc\na\n0\n3,9\n")
    assert 'targets = ["a"]' in text
    assert "horizon = [3, 9]" in text
    assert "label" not in text.replace("labels", "").split("[model]")[0].replace("# ", "")
    assert "did you mean 'forecast'? expected one of" in said
    assert "there is no 'c'; expected of a, b" in said
    assert "expected numbers from 1 on" in said


def test_an_end_of_the_input_is_one_line(plant: Path) -> None:
    with pytest.raises(ConfigError, match="standard input ended before all was answered"):
        asked(plant, "")


def test_parsers() -> None:
    assert steps("12") == 12
    assert steps("1, 24") == [1, 24]
    for wrong in ("", "x", "0", "3,2", "1,1"):
        with pytest.raises(ValueError, match="expected"):
            steps(wrong)
    assert columns(["a", "b,c"])("b,c") == ["b,c"]
    assert columns(["a", "b"])("b, a") == ["b", "a"]


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = cli.main(["init", *words])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_command_writes_a_file_and_says_what_is_next(
    plant: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(plant.parent)
    code, out, err = run(capsys, "plant.csv", "--yes")
    assert (code, err) == (0, "")
    assert out.splitlines()[-3:] == [
        "written         plant.toml",
        "next            edge-lstm data plant.toml",
        "                edge-lstm train plant.toml -o runs/plant",
    ]
    text = Path("plant.toml").read_text("utf-8")
    assert 'path = "plant.csv"' in text
    assert 'label = "state"               # its name, and on, off' in text
    code, _, err = run(capsys, "plant.csv", "--yes")
    assert code == 2
    assert "plant.toml: is there already; expected a new name (-o), or --force" in err
    assert Path("plant.toml").read_text("utf-8") == text
    assert run(capsys, "plant.csv", "--yes", "--force", "--horizon", "5")[0] == 0
    assert "horizon = 5" in Path("plant.toml").read_text("utf-8")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["plant.csv"], "standard input is no terminal, so nothing can be asked; add --yes"),
        (["plant.csv", "-y", "-o", "x.txt"], "-o x.txt: expected a name that ends in .toml"),
        (["plant.csv", "-y", "-o", "no/x.toml"], "no/x.toml: the folder no is not there"),
        (["plant.csv", "-y", "--horizon", "x"], "--horizon x: expected a whole number"),
        (["plant.csv", "-y", "--pattern", "("], "--pattern (: is no regular expression"),
        (["plant.csv", "-y", "--task", "tagg"], "unknown task 'tagg'; did you mean 'tag'"),
        (["nothing.csv", "-y"], "nothing.csv: there is no such file or folder"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(
    words: list[str],
    said: str,
    plant: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(plant.parent)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert [path.name for path in plant.parent.iterdir()] == ["plant.csv"]


def test_on_a_real_terminal(plant: Path) -> None:
    ours, its = pty.openpty()
    command = [sys.executable, "-m", "edge_lstm_command", "init", "plant.csv"]
    done = subprocess.Popen(
        command, cwd=plant.parent, env=environment(), stdin=its, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.write(ours, b"\n")
    out, err = done.communicate(timeout=60)
    os.close(ours)
    os.close(its)
    assert done.returncode == 0, err
    assert "Task (the class changes inside of recordings) [tag]: " in err
    assert "task            tag, split by time" in out
    assert (plant.parent / "plant.toml").is_file()
