"""The folder of boards' figures. The good file here is of the machine that runs the test, and no
board's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from helpers.benchmarks import benchmark
from helpers.bundles import make_bundle
from helpers.commands import edge_lstm

boards = benchmark("boards")


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A row that the command prints."""
    bundle = tmp_path_factory.mktemp("boards") / "net.edge"
    make_bundle(bundle)
    options = ["--backend", "numpy", "--steps", "10", "--streams", "2", "--json"]
    done = edge_lstm("bench", bundle, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def changed(line: str, **values: Any) -> str:
    return json.dumps({**json.loads(line), **values})


def test_a_good_file(line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = changed(line, board="a desktop, for this test", p50_us=12.345)
    (tmp_path / "desktop.json").write_text(row + "\n\n" + line + "\n")
    assert boards.main([str(tmp_path)]) == 0
    head, rule, first, second = capsys.readouterr().out.splitlines()
    assert head.startswith("| file | machine |")
    assert rule.count("---") == head.count("|") - 1
    cells = [cell.strip() for cell in first.split("|")[1:-1]]
    assert cells[0] == "desktop.json"
    assert cells[1].startswith("a desktop, for this test, ")
    assert "lstm" in cells[4]
    assert (cells[6], cells[7]) == ("numpy", "12.35")
    assert second.startswith("| desktop.json |")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda line: line[:50], "line 1 is not JSON"),
        (lambda _: "[1]", "line 1 is not of format 1"),
        (lambda _: '{"backend": "numpy", "p50_us": 1}', "line 1 is not of format 1"),
        (lambda line: changed(line, format=2), "line 1 is not of format 1"),
        (lambda line: line + "\n" + changed(line, p50_us=-1), "line 2 has no p50_us"),
        (lambda line: changed(line, p50_us=True), "line 1 has no p50_us"),
        (lambda line: changed(line, cpu="A76"), "line 1 has no cpu"),
        (lambda line: changed(line, date=None), "line 1 has no date"),
        (lambda line: changed(line, bundle={"sha256": "ab"}), "line 1 has no bundle"),
        (lambda _: "\n", "is empty"),
        (
            lambda line: changed(line, machine="aarch64", features=["sse2"]),
            "line 1 is of an emulator: aarch64 on an x86 CPU",
        ),
    ],
)
def test_a_bad_file_is_one_line_and_the_others_are_shown(
    make: Any, said: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.json").write_text(make(line))
    (tmp_path / "good.json").write_text(line)
    assert boards.main([str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    (only,) = err.splitlines()
    assert only.startswith(f"boards.py: bad.json: {said}")
    assert [row.split("|")[1].strip() for row in out.splitlines()[2:]] == ["good.json"]


def test_bytes_that_are_no_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.json").write_bytes(b"\xff\xfe\x00")
    assert boards.main([str(tmp_path)]) == 1
    assert "bad.json: can't be read (it is not UTF-8)" in capsys.readouterr().err


def test_no_file_of_a_desktop_is_in_the_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert boards.main([]) == 0
    assert "x86_64" not in capsys.readouterr().out
