"""Any small table gives a configuration that training takes, or one line."""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_lstm.config.load import load_config
from edge_lstm.config.toml import literal
from edge_lstm.data.load import load_data
from edge_lstm.guess.ask import Ask
from edge_lstm.guess.draft import Draft, Key, Table
from edge_lstm.guess.guessed import guessed
from edge_lstm.guess.names import named, parts
from edge_lstm.guess.render import rendered
from edge_lstm.guess.roles import Stated
from edge_lstm_runtime.errors import EdgeLstmError

NAMES = st.sampled_from(
    ["time", "t", "date", "label", "class", "id", "subject", "a", "b", "y", "x", "users", "rul",
     "", "größe", "hour", "sensor 1", "a,b", '"', "state"]
)  # fmt: skip
BEGIN = datetime.datetime(2024, 2, 27)
KINDS: dict[str, Callable[[int, int], str]] = {
    "wave": lambda i, k: f"{(i * (k + 3)) % 17 / 7:.3f}",
    "count": lambda i, k: str(i + k),
    "steps": lambda i, k: str(i // (k + 5)),
    "constant": lambda _i, k: str(k),
    "text": lambda i, k: f"w{i * k % 5}",
    "long text": lambda i, k: f"note {i} {k}",
    "blank": lambda _i, _k: "",
    "some blank": lambda i, k: "" if (i + k) % 4 == 0 else str(i % 7),
    "words": lambda i, k: "fehlt" if i % 19 == k else f"{i % 7}.5",
    "dates": lambda i, k: f"{BEGIN + datetime.timedelta(hours=i * (k + 1))}",
    "german": lambda i, k: f"{BEGIN + datetime.timedelta(days=i + k):%d.%m.%y}",
    "american": lambda i, k: f"{BEGIN + datetime.timedelta(days=i + k):%m/%d/%Y}",
    "unix": lambda i, k: str(1_700_000_000_000 + 1000 * i * (k + 1)),
    "clock": lambda i, _k: f"{i // 60 % 24:02d}:{i % 60:02d}",
    "commas": lambda i, k: f"{i % 7},{k}",
    "huge": lambda i, _k: "1e300" if i == 9 else "1",
    "inf": lambda i, _k: "inf" if i == 9 else "1",
    "code": lambda i, k: "-9999" if i % 20 == 3 else f"{(i * k) % 11}.25",
    "quoted": lambda i, _k: f'"{i}"',
}
COLUMNS = st.lists(st.tuples(NAMES, st.sampled_from(sorted(KINDS))), min_size=1, max_size=5)


def check(folder: Path, data: Path) -> None:
    out = folder / "o.toml"
    try:
        found = guessed(data, out, Stated(), Ask(yes=True))
    except EdgeLstmError as e:
        assert "\n" not in str(e)  # noqa: PT017
        return
    out.write_text(found.text, "utf-8")
    config = load_config(out)
    assert config == found.config
    splits = load_data(config)
    assert splits.train
    assert splits.val
    assert splits.test


@settings(max_examples=120, deadline=None, derandomize=True)
@given(
    COLUMNS,
    st.sampled_from([0, 1, 2, 7, 40, 160]),
    st.sampled_from([",", ";", "\t", " "]),
    st.booleans(),
)
def test_any_table(columns: list[tuple[str, str]], rows: int, separator: str, header: bool) -> None:
    lines = [separator.join(name for name, _ in columns)] if header else []
    for i in range(rows):
        lines.append(separator.join(KINDS[kind](i, k) for k, (_, kind) in enumerate(columns)))
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "data.csv")
        path.write_text("\n".join(lines) + "\n", "utf-8")
        check(Path(name), path)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.binary(max_size=400), st.sampled_from([".csv", ".txt", ".parquet", ".npz", ".wav", ""]))
def test_any_bytes(content: bytes, ending: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, f"data{ending}")
        path.write_bytes(content)
        check(Path(name), path)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.text("ab1_-/. é", min_size=1, max_size=9), min_size=1, max_size=9, unique=True))
def test_any_names_of_files(names: list[str]) -> None:
    found = named(names)
    assert found is None or set(found.labels) == set(names)
    assert set(parts(names)) in (set(), set(names))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.recursive(st.text() | st.integers(-9, 9) | st.booleans(), st.lists, max_leaves=4))
def test_any_value_is_read_again(value: object) -> None:
    from edge_lstm.config.load import tomllib

    surrogates = any(0xD800 <= ord(c) < 0xE000 for c in str(value))
    if not surrogates:
        assert tomllib.loads(f"v = {literal(value)}")["v"] == value


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.text("ab-/. é'\"\\", max_size=130), max_size=9))
def test_a_long_list_is_read_again(names: list[str]) -> None:
    """It is broken between its values, and never inside of one."""
    from edge_lstm.config.load import tomllib

    text = rendered(Draft((Table("data", {"channels": Key(names)}),)), ())
    assert tomllib.loads(text) == {"data": {"channels": names}}
