"""Task "regress" on the files of C-MAPSS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_lstm import Config, Run, load_data, train
from edge_lstm_runtime.errors import DataError
from helpers.configs import TURBOFAN

Configure = Callable[..., Config]

LENGTHS = {"train": (6, 4, 5), "test": (2, 3)}


@pytest.fixture
def turbofan(tmp_path: Path) -> Path:
    """Three engines until they fail, and two stopped 7 and 1 cycles before.

    sensor_21 is the row's number in the file.
    """
    for part, lengths in LENGTHS.items():
        rows = [
            (unit, cycle)
            for unit, length in enumerate(lengths, 1)
            for cycle in range(1, length + 1)
        ]
        lines = [
            f"{unit} {cycle} {cycle / 10} " + "0 " * 22 + f"{number}  "
            for number, (unit, cycle) in enumerate(rows)
        ]
        (tmp_path / f"{part}.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "rul.txt").write_text("7 \n1 \n")
    return tmp_path


def test_the_life_that_is_left(turbofan: Path, configure: Configure) -> None:
    assert turbofan.is_dir()
    splits = load_data(configure(TURBOFAN))
    assert sorted(len(s.x) for s in splits.train + splits.val) == [4, 5, 6]  # whole engines
    for sequence in splits.train + splits.val:
        assert sequence.y is not None
        n = len(sequence.x)
        assert sequence.y[:, 0].tolist() == [min(3, n - 1 - k) for k in range(n)]
    assert [s.y[:, 0].tolist() for s in splits.test if s.y is not None] == [[3, 3], [3, 2, 1]]
    np.testing.assert_array_equal(np.concatenate([s.x for s in splits.test])[:, 0], np.arange(5))
    np.testing.assert_allclose(splits.test[1].x[:, 1], [0.1, 0.2, 0.3])
    whole = load_data(configure(TURBOFAN, ("target_cap = 3\n", "")))
    assert [s.y[:, 0].tolist() for s in whole.test if s.y is not None] == [[8, 7], [3, 2, 1]]


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("rul.txt", "7\n", "1 lines for the 2 engines"),
        ("rul.txt", "7\nx\n", "'x' is no number"),
        ("rul.txt", "", "the file is empty"),
        ("test.txt", "1 1 0.1\n", "line 1 has 3 cells, and `columns` in .data. names 26"),
    ],
)
def test_a_file_that_is_not_as_it_should_be(
    turbofan: Path, configure: Configure, file: str, text: str, words: str
) -> None:
    (turbofan / file).write_text(text)
    with pytest.raises(DataError, match=words) as caught:
        load_data(configure(TURBOFAN))
    assert file in str(caught.value)


def test_the_run_of_a_regression_can_be_resumed_and_says_its_figures(
    turbofan: Path, configure: Configure, tmp_path: Path
) -> None:
    from edge_lstm.cli.train import closing

    assert turbofan.is_dir()
    run: Run = train(configure(TURBOFAN), tmp_path / "run", quiet=True)
    again = train(configure(TURBOFAN), tmp_path / "run", quiet=True, resume=True)
    assert again.metrics == run.metrics
    text = closing(run)
    assert "2 features -> lstm 4 -> dense 1 -> life" in text
    assert f"at the end      MAE {run.metrics['test']['mae_last']:.4g}" in text
