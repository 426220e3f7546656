"""Microseconds: measured here, or estimated from a board's figures."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from edge_lstm.search import clock
from edge_lstm.search.clock import Board, Here, board_of, read_bench
from edge_lstm_runtime.errors import ConfigError
from helpers.bundles import make_bundle
from helpers.commands import edge_lstm
from helpers.specs import make_spec


def line(backend: str, macs: float | None, p50: float, **more: object) -> str:
    row = {"backend": backend, "simulator": False, "macs": macs, "p50_us": p50, "machine": "armv7l"}
    return json.dumps({**row, **more})


SPEC = make_spec(hidden=4)  # one LSTM layer of 4 units
MACS = SPEC.network.macs_per_step


def board(*points: tuple[float, float]) -> Board:
    return board_of("\n".join(line("native", macs, us) for macs, us in points))


def test_one_net_in_proportion() -> None:
    assert board((2 * MACS, 10.0))(SPEC, "float32") == pytest.approx(5.0)


def test_between_two_nets_a_line() -> None:
    assert board((0.5 * MACS, 4.0), (2.5 * MACS, 12.0))(SPEC, "float32") == pytest.approx(6.0)


def test_beyond_the_largest_the_line_goes_on() -> None:
    # 1 us for each MACS / 4, and 3 us for none: 7 us at MACS.
    assert board((MACS / 4, 4.0), (MACS / 2, 5.0))(SPEC, "float32") == pytest.approx(7.0)


def test_below_the_smallest_the_line_but_not_below_the_proportion() -> None:
    assert board((2 * MACS, 6.0), (4 * MACS, 8.0))(SPEC, "float32") == pytest.approx(5.0)
    # A line from there would reach 0; in proportion it is 3.
    assert board((2 * MACS, 6.0), (4 * MACS, 20.0))(SPEC, "float32") == pytest.approx(3.0)


def test_a_larger_net_is_never_faster() -> None:
    assert board((MACS / 4, 5.0), (MACS / 2, 4.0))(SPEC, "float32") == pytest.approx(5.0)


def test_the_formats_have_backends_of_their_own() -> None:
    text = "\n".join(
        [
            line("numpy", MACS, 90.0),
            line("native", MACS, 7.0),
            line("native-int8", MACS, 3.0),
            line("reference", MACS, 900.0),
            line("native", MACS, 0.1, simulator=True),
        ]
    )
    found = board_of(text)
    assert found(SPEC, "float32") == pytest.approx(7.0)
    assert found(SPEC, "int8") == pytest.approx(3.0)
    assert found.said == (
        "estimated from what was measured on armv7l (float32: native with 1 net, "
        "int8: native-int8 with 1 net)"
    )


def test_a_format_that_the_board_lacks_takes_for_ever() -> None:
    assert board((MACS, 10.0))(SPEC, "int8") == math.inf


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no figures of a CPU's backend"),
        ("p50  p99", "line 1: not JSON"),
        ("[1]", "line 1: no object"),
        (line("rknn", 100, 5.0), "has no figures of a CPU's backend"),
        (line("native", None, 5.0), "macs is None; expected a number above 0"),
        (line("native", 100, 0.0), "p50_us is 0.0; expected a number above 0"),
        ('{"backend": "native", "simulator": false, "p50_us": 3}', "line 1: has no 'macs'"),
    ],
)
def test_a_file_that_is_no_bench(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "board.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said) as e:
        read_bench(path)
    assert str(path) in str(e.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"can't be read \(No such file"):
        read_bench(tmp_path / "board.json")


def test_what_the_command_prints_is_read(tmp_path: Path) -> None:
    make_bundle(tmp_path / "a.edge", make_spec(hidden=8))
    done = edge_lstm("bench", tmp_path / "a.edge", "--backend", "numpy", "--steps", "30", "--json")
    path = tmp_path / "board.json"
    path.write_text(done.stdout)
    (row,) = map(json.loads, done.stdout.splitlines())
    found = board_of(read_bench(path))
    assert found(make_spec(hidden=8), "float32") == pytest.approx(row["p50_us"])


def test_measured_here_once_for_each_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = Here(np.zeros((3, SPEC.inputs.size)), tmp_path / "us.json")
    first = here(SPEC, "float32")
    assert 0.05 < first < 5000
    monkeypatch.setattr(clock, "microseconds", lambda *_: pytest.fail("measured again"))
    assert here(SPEC, "float32") == first
    again = Here(np.zeros((3, SPEC.inputs.size)), tmp_path / "us.json")
    assert again(SPEC, "float32") == first
