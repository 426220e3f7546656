"""Files of the UCR/UEA archive, against aeon, which reads them too."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from aeon.datasets import load_from_ts_file

from edge_lstm.data.ts_file import read_ts
from edge_lstm_runtime.errors import DataError

SPEC = find_spec("aeon")
assert SPEC is not None
assert SPEC.origin is not None
SHIPPED = Path(SPEC.origin).parent / "datasets" / "data"
FILES = sorted(f for f in SHIPPED.glob("*/*.ts") if "TimeStamps" not in f.name)
HEADER = "#a comment\n@problemName p\n@equalLength false\n"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "data.ts"
    path.write_text(text)
    return path


def test_there_are_files_of_each_kind() -> None:
    names = {file.parent.name for file in FILES}
    assert {"BasicMotions", "JapaneseVowels", "Covid3Month", "GunPoint"} <= names


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_aeon_ships_is_read_as_aeon_reads_it(file: Path) -> None:
    expected, classes = load_from_ts_file(str(file))
    found = read_ts(file)
    assert found.y is not None
    assert list(found.y) == [str(y) for y in classes]
    assert len(found.x) == len(expected)
    for case, wanted in zip(found.x, expected, strict=True):
        np.testing.assert_array_equal(case, np.asarray(wanted).T)


def test_missing_values_classes_and_spaces(tmp_path: Path) -> None:
    lines = "@classLabel true Walk run\n@data\n\n 1, ?,-3e2 : 4,5,NaN : Walk \n7:8:?\n"
    found = read_ts(written(tmp_path, HEADER + lines))
    nan = np.nan
    np.testing.assert_array_equal(found.x[0], [[1, 4], [nan, 5], [-300, nan]])
    np.testing.assert_array_equal(found.x[1], [[7, 8]])
    assert found.y == ["walk", ""]


def test_no_class_and_a_number_in_its_place(tmp_path: Path) -> None:
    found = read_ts(written(tmp_path, HEADER + "@classLabel false\n@data\n1,2:3,4\n"))
    assert found.y is None
    np.testing.assert_array_equal(found.x[0], [[1, 3], [2, 4]])
    found = read_ts(written(tmp_path, HEADER + "@targetLabel true\n@data\n1,2:3,4:05\n"))
    assert found.y == ["5.0"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        (HEADER, "the file is empty"),
        ("1,2:a\n", "the file is empty; expected @data and at least one case"),
        ("@data\n1,2:3:a\n", r"line 2: the channels have \[1, 2\] values"),
        ("@data\n1,2:3,4:a\n1,x:3,4:a\n", r"line 3: could not convert string to float: 'x'"),
        ("@data\n1,,2:a\n", "line 2: could not convert string to float: ''"),
        ("@targetLabel true\n@data\n1:a\n", "line 3: could not convert string to float: 'a'"),
        ("@timeStamps true\n@data\n(0,1),(1,2):a\n", "@timeStamps is true"),
    ],
)
def test_what_is_no_such_file(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DataError, match=rf"data\.ts: .*{said}"):
        read_ts(written(tmp_path, text))
