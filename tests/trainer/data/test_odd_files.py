"""Files that can't be read, of every kind: one line that names the file, and the column if it can.

Nothing but an error of ours may come out, whatever is in the file.
"""

from __future__ import annotations

import datetime as dt
import decimal
import gzip
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_lstm import load_data
from edge_lstm.config.schema import Config
from edge_lstm.data.read_text import header_of
from edge_lstm_runtime.errors import ConfigError, DataError
from edge_lstm_runtime.inputs.text import TextForm
from helpers.commands import environment
from helpers.configs import CLASSIFY, FORECAST
from helpers.generated import PROPERTY

Configure = Callable[..., Config]
ONCE = settings(PROPERTY, suppress_health_check=[HealthCheck.function_scoped_fixture])
NPZ = (
    CLASSIFY.replace('"csv"', '"npz"')
    .replace("data.csv", "data.npz")
    .replace('label = "activity"\ngroup = "subject"\n', "")
    .replace('val = ["s4"]\ntest = ["s5"]', "val = 0.3\ntest = 0.3")
)
PARQUET = FORECAST.replace('"csv"', '"parquet"').replace("data.csv", "data.parquet")
TIMED = 'channels = ["b"]\ntime = "a"\ndt = true'
DAY = dt.datetime(2024, 5, 31)
# By name: values of a column that polars writes, and the seconds that they stand for as a time.
COLUMNS: dict[str, tuple[Callable[[int], Any], Callable[[int], float] | None]] = {
    "list": (lambda k: [k], None),
    "struct": (lambda k: {"k": k}, None),
    "binary": (lambda k: bytes([255, k % 256]), None),
    "null": (lambda _: None, None),
    "boolean": (lambda k: k % 2 == 0, None),
    "nan": (lambda k: float("nan") if k == 3 else float(k), None),
    "inf": (lambda k: float("inf") if k == 199 else float(k), None),
    "text": (lambda k: f"at {k}", None),
    "decimal": (lambda k: decimal.Decimal(k) / 4, lambda k: k / 4),
    "duration": (lambda k: dt.timedelta(milliseconds=1500 * k), lambda k: 1.5 * k),
    "time": (lambda k: dt.time(1, k // 60, k % 60), lambda k: float(k)),
    "date": (lambda k: (DAY + dt.timedelta(days=k)).date(), lambda k: 86400.0 * k),
    "datetime": (lambda k: DAY + dt.timedelta(minutes=k), lambda k: 60.0 * k),
}


def one_line(error: pytest.ExceptionInfo[Exception], *names: str) -> None:
    text = str(error.value)
    assert "\n" not in text
    for name in names:
        assert name in text


def write_npz(path: Path, y: Any = None, **changes: Any) -> None:
    x = np.random.default_rng(0).normal(size=(10, 6, 2))
    np.savez(path, **{"x": x, "y": np.array(["p", "q"] * 5) if y is None else y, **changes})


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_time_column_of_any_type(configure: Configure, tmp_path: Path, kind: str) -> None:
    """It is seconds, or it is refused by name."""
    make, seconds = COLUMNS[kind]
    column = pl.Series("a", [make(k) for k in range(200)])
    frame = pl.DataFrame([column, pl.Series("b", np.sin(np.arange(200.0)))])
    frame.write_parquet(tmp_path / "data.parquet")
    config = configure(PARQUET, ('channels = ["a", "b"]', TIMED))
    if seconds is None:
        with pytest.raises(DataError) as caught:
            load_data(config)
        one_line(caught, "data.parquet", "column 'a'")
        return
    found = load_data(config).train[0].x[:, 1]
    moments = np.array([seconds(k) for k in range(len(found))])
    np.testing.assert_allclose(found, np.diff(moments, prepend=moments[:1]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["list", "struct", "binary", "null"])
@pytest.mark.parametrize("key", ["label", "group", "channels"])
def test_a_column_that_is_no_text_and_no_number(
    configure: Configure, tmp_path: Path, kind: str, key: str
) -> None:
    make, _ = COLUMNS[kind]
    usual = {"a": np.arange(40.0), "b": np.arange(40.0)}
    names = {"activity": ["p", "q"] * 20, "subject": [f"s{k // 8 + 1}" for k in range(40)]}
    name = {"label": "activity", "group": "subject", "channels": "a"}[key]
    odd = pl.Series(name, [make(k) for k in range(40)])
    pl.DataFrame({**usual, **names}).with_columns(odd).write_parquet(tmp_path / "data.parquet")
    config = configure(CLASSIFY, ('"csv"', '"parquet"'), ("data.csv", "data.parquet"))
    with pytest.raises(DataError) as caught:
        load_data(config)
    one_line(caught, "data.parquet", f"column '{name}'")


@pytest.mark.parametrize("separator", ["€", "é", '"', "\\n"])
def test_a_separator_that_no_csv_has(configure: Configure, separator: str) -> None:
    text = separator.replace('"', '\\"')
    with pytest.raises(ConfigError, match=r"separator = .*: expected one ASCII sign") as e:
        configure(FORECAST, ('channels = ["a", "b"]', f'channels = ["a"]\nseparator = "{text}"'))
    one_line(e)


def test_an_npy_is_no_npz(configure: Configure, tmp_path: Path) -> None:
    with (tmp_path / "data.npz").open("wb") as file:
        np.save(file, np.zeros((4, 5, 2)))
    with pytest.raises(DataError, match=r"data\.npz: can't be read as \.npz: .*zip") as caught:
        load_data(configure(NPZ))
    one_line(caught)


def test_a_damaged_member_is_named(configure: Configure, tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez_compressed(path, x=np.random.default_rng(0).normal(size=(10, 60, 2)))
    content = bytearray(path.read_bytes())
    content[200:260] = bytes(60)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"data\.npz: can't be read as \.npz: array 'x': ") as e:
        load_data(configure(NPZ))
    one_line(e)


@pytest.mark.parametrize("name", ["x", "y", "lengths"])
def test_objects_are_not_unpickled(configure: Configure, tmp_path: Path, name: str) -> None:
    write_npz(tmp_path / "data.npz", **{name: np.array([{}] * 10, dtype=object)})
    with pytest.raises(DataError, match=f"can't be read as .npz: array '{name}': ") as caught:
        load_data(configure(NPZ))
    one_line(caught, "data.npz")


@ONCE
@given(
    kind=st.sampled_from(["npz", "parquet"]),
    at=st.floats(0, 1, exclude_max=True),
    damage=st.binary(min_size=1, max_size=40),
    keep=st.floats(0, 1),
)
def test_damage_anywhere_is_an_error_of_ours_or_none(
    configure: Configure, tmp_path: Path, kind: str, at: float, damage: bytes, keep: float
) -> None:
    path = tmp_path / f"data.{kind}"
    if kind == "npz":
        x = np.random.default_rng(0).normal(size=(10, 6, 2))
        np.savez_compressed(path, x=x, y=np.array(["p", "q"] * 5))
    else:
        rows = np.arange(200.0)
        pl.DataFrame({"a": rows, "b": np.sin(rows)}).write_parquet(path)
    content = bytearray(path.read_bytes())
    start = int(at * len(content))
    content[start : start + len(damage)] = damage
    path.write_bytes(content[: round(keep * len(content))] if keep < 0.5 else content)
    said = ""
    try:
        load_data(configure(NPZ if kind == "npz" else PARQUET))
    except DataError as e:
        said = str(e)
    assert "\n" not in said


@pytest.mark.parametrize("missing", ["", " ", np.nan])
def test_a_sequence_without_a_class_is_refused(
    configure: Configure, tmp_path: Path, missing: Any
) -> None:
    """As a row of a table is."""
    classes = [1.0, 2.0] * 5 if isinstance(missing, float) else ["p", "q"] * 5
    y = np.array([missing if k == 4 else name for k, name in enumerate(classes)])
    write_npz(tmp_path / "data.npz", y)
    with pytest.raises(DataError, match=r"data\.npz, sequence 4: the class is '.*'; expected") as e:
        load_data(configure(NPZ))
    one_line(e)


def test_the_order_of_the_classes_is_always_the_same(tmp_path: Path) -> None:
    """A name that reads as NaN has no place among numbers."""
    program = (
        "from edge_lstm.tasks.classes import classes\n"
        "names = ['2', '10', '-nan', '1', '+nan']\n"
        "print(classes({'train': names, 'val': [], 'test': []}))\n"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, **environment(), "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
        ).stdout.strip()
        for seed in range(4)
    }
    assert found == {"('+nan', '-nan', '1', '10', '2')"}


def test_a_packed_file_that_is_damaged(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(b"a,b\n" + b"1.25,3.5\n" * 1000))
    packed[10] = 0xFF  # of the first block's header: zlib has an error of its own
    (tmp_path / "a.csv.gz").write_bytes(packed)
    with pytest.raises(DataError, match=r"a\.csv\.gz: can't be read: ") as found:
        header_of(tmp_path / "a.csv.gz", TextForm(encoding="latin-1"))
    one_line(found)
