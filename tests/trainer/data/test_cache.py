"""Large data is read once into a cache. What is found there is what a source reads.

Here everything counts as large.
"""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import shutil
import threading
import time
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from edge_lstm import Run, train
from edge_lstm.config.schema import Config
from edge_lstm.data import cache, chunks, kept, remembered
from edge_lstm.data.load import load_data, make_spec
from edge_lstm.data.recordings import Recording, Sequence, Splits
from edge_lstm.data.sources import csv
from edge_lstm.data.windows import Cuts, windows
from helpers.configs import CLASSIFY, FORECAST

Configure = Callable[..., Config]
WAV = """
[data]
source = "wav"
path = "sounds"
pattern = '(?P<label>[a-z]+)_(?P<group>\\d)'
[data.split]
by = "group"
[model]
task = "classify"
hidden_size = 2
[train]
epochs = 1
[front_end]
sample_rate = 8000
frame_length = 200
hop_length = 100
n_mels = 5
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the cache."""
    monkeypatch.setenv("EDGE_LSTM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kept, "SMALL", 0)
    monkeypatch.setattr(remembered, "LARGE", 0)
    return tmp_path / "cache" / "data"


def entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


def read(config: Config) -> list[Recording]:
    return kept.recordings(config.data, config.asked)[0]


def assert_same(found: list[Recording], expected: list[Recording]) -> None:
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        for field in dataclasses.fields(Recording):
            a = getattr(one, field.name)
            b = getattr(other, field.name)
            if isinstance(b, np.ndarray):
                np.testing.assert_array_equal(a, b, strict=field.name != "labels")
            else:
                assert a == b, field.name


def write_tables(folder: Path, kind: str) -> None:
    """Three tables in two folders, with gaps, times, a class and a target."""
    rng = np.random.default_rng(3)
    for k, place in enumerate(("walk/p1", "walk/p2", "rest/p3")):
        rows = 30 + k
        hours = [f"2024-05-{1 + k:02d} {n // 60:02d}:{n % 60:02d}:00" for n in range(rows)]
        table = {
            "when": hours,
            "a": rng.normal(size=rows),
            "b": [None if n % 7 == k else float(n) for n in range(rows)],
            "life": rng.normal(size=rows),
            "state": ["idle" if n < 11 else "running" for n in range(rows)],
        }
        file = folder / f"{place}.{kind}"
        file.parent.mkdir(parents=True, exist_ok=True)
        frame = pl.DataFrame(table)
        (frame.write_csv if kind == "csv" else frame.write_parquet)(file)
    (folder / "notes.md").write_text("left out")


def write_sounds(folder: Path) -> None:
    folder.mkdir()
    for k, name in enumerate(("low_1", "high_1", "low_2")):
        with wave.open(str(folder / f"{name}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            tone = np.sin(np.arange(900 + 100 * k) * (1 + k)) * 9000
            file.writeframes(tone.astype("<i2").tobytes())


TAG = ('source = "csv"', 'source = "KIND"\ntime = "when"\nmissing = "ffill"')


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(
    "more",
    [
        "",
        "dt = true\n",
        "label = 'state'\n",
        "pattern = '(?P<label>[^/]+)/(?P<group>.*)'\n",
        "time_zone = 'Europe/Berlin'\n[data.calendar]\nparts = ['hour']\n",
        "known_anomalies = 'known.json'\n",
    ],
)
def test_tables_are_found_as_they_are_read(
    configure: Configure, tmp_path: Path, kind: str, more: str
) -> None:
    write_tables(tmp_path / "tables", kind)
    windows = {f"tables/{p}.{kind}": [] for p in ("walk/p1", "walk/p2")}
    last = {f"tables/rest/p3.{kind}": [["2024-05-03 00:03:00", "2024-05-03 00:09:00"]]}
    (tmp_path / "known.json").write_text(json.dumps({**windows, **last}))
    keys = f'source = "{kind}"\npath = "tables"\ntime = "when"\nmissing = "ffill"\n{more}'
    task = (
        'task = "anomaly"\nhorizon = 1' if "known_an" in more else 'task = "forecast"\nhorizon = 3'
    )
    config = configure(
        FORECAST,
        ('source = "csv"\npath = "data.csv"\n', ""),
        ("[data]\n", f'[data]\nchannels = ["a", "b"]\nwindow = 12\nstride = 6\n{keys}'),
        ('\nchannels = ["a", "b"]\nwindow = 12\nstride = 6\n\n[data.split]', "\n[data.split]"),
        ('task = "forecast"\ntargets = ["b"]\nhorizon = 3', task),
    )
    expected = config.data.read(config.asked)
    assert_same(read(config), expected)
    assert_same(read(config), expected)


@pytest.mark.usefixtures("classify_csv")
def test_groups_and_labels_are_found(configure: Configure) -> None:
    config = configure(CLASSIFY)
    for _ in range(2):
        assert_same(read(config), config.data.read(config.asked))


def test_sounds_are_found(configure: Configure, tmp_path: Path) -> None:
    write_sounds(tmp_path / "sounds")
    config = configure(WAV)
    for _ in range(2):
        assert_same(read(config), config.data.read(config.asked))


@pytest.fixture
def config(forecast_csv: Path, configure: Configure) -> Config:  # noqa: ARG001
    return configure(FORECAST)


def test_the_files_are_read_once(
    config: Config, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = read(config)
    assert len(entries(folder)) == 1

    def fail(*_: object) -> None:
        raise AssertionError("it was read again")

    monkeypatch.setattr(csv, "read_table", fail)
    again = read(config)
    np.testing.assert_array_equal(again[0].x, first[0].x)
    assert not again[0].x.flags.owndata


def test_another_key_is_another_entry(config: Config, folder: Path) -> None:
    data = config.data.model_copy(update={"missing": "ffill"})
    kept.recordings(data, config.asked)
    for change, count in (
        ({"window": 6}, 1),
        ({"split": data.split.model_copy(update={"val": 0.3})}, 1),
        ({"missing": "mask"}, 2),
        ({"channels": ("b", "a")}, 3),
        ({"missing_values": ("7",)}, 4),
        ({"normalize": "robust"}, 4),
    ):
        changed = data.model_copy(update=change)
        kept.recordings(changed, config.asked)
        assert len(entries(folder)) == count, change
        assert_same(kept.recordings(changed, config.asked)[0], changed.read(config.asked))


@pytest.mark.parametrize("remembers", [True, False])
def test_a_file_that_is_changed_in_place_is_noticed(
    config: Config, forecast_csv: Path, monkeypatch: pytest.MonkeyPatch, remembers: bool
) -> None:
    """Its size and its time of change (mtime) stay the same."""
    if remembers:  # however young the file is
        monkeypatch.setattr(cache, "DOUBTFUL", -(10**18))
    before = forecast_csv.stat()
    assert read(config)[0].x[3, 0] == 3
    time.sleep(0.05)  # more than the steps of the file system's clock
    with forecast_csv.open("r+b") as file:
        text = file.read()
        file.seek(text.index(b"\n3,") + 1)
        file.write(b"8")
    os.utime(forecast_csv, ns=(before.st_atime_ns, before.st_mtime_ns))
    now = forecast_csv.stat()
    assert (now.st_size, now.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert read(config)[0].x[3, 0] == 8


def test_a_doubt_names_the_row_of_the_file_that_there_is(
    configure: Configure, tmp_path: Path
) -> None:
    """The same sequences from a file whose rows are in another order."""
    config = configure(CLASSIFY)
    noise = np.random.default_rng(0).normal(size=40)
    rows = {f"s{k}": [f"{x},{x},run,s{k}" for x in noise] for k in range(6)}
    rows["s0"][7] = "900,1,run,s0"
    rows["s1"] = [row.replace("run", "walk") for row in rows["s1"]]
    in_turn = [row for each in zip(*rows.values(), strict=True) for row in each]
    blocks = [row for each in rows.values() for row in each]
    for lines, row in ((blocks, 8), (in_turn, 7 * 6 + 1)):
        (tmp_path / "data.csv").write_text("\n".join(["a,b,activity,subject", *lines]) + "\n")
        told = [note for note in load_data(config).notes if "has 900" in note]
        assert len(told) == 1
        assert f"row {row} has 900" in told[0]


def test_a_file_is_hashed_once(
    config: Config, forecast_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = []
    monkeypatch.setattr(cache, "_sha256", lambda file: hashed.append(file) or "digest")
    read(config)
    read(config)
    assert len(hashed) == 2  # a file that was changed a moment ago may be changed again unseen
    monkeypatch.setattr(cache, "DOUBTFUL", -(10**18))
    read(config)
    read(config)
    assert len(hashed) == 3
    shutil.copy(forecast_csv, forecast_csv.with_name("other.csv"))
    forecast_csv.with_name("other.csv").replace(forecast_csv)
    read(config)
    assert len(hashed) == 4


def test_a_file_that_changes_while_it_is_read_is_not_kept(
    config: Config, forecast_csv: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = csv.read_table

    def slow(*given: Any) -> Any:
        found = table(*given)
        forecast_csv.write_text(forecast_csv.read_text().replace("\n3,", "\n8,"))
        return found

    monkeypatch.setattr(csv, "read_table", slow)
    read(config)
    assert not entries(folder)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a number": lambda entry: flip(entry / "x.npy", -5),
    "the header": lambda entry: flip(entry / "x.npy", 20),
    "the end": lambda entry: os.truncate(entry / "x.npy", 700),
    "no numbers": lambda entry: os.truncate(entry / "x.npy", 0),
    "the facts": lambda entry: flip(entry / "facts.json", 60),
    "half of the facts": lambda entry: os.truncate(entry / "facts.json", 60),
}


def flip(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 4
    file.write_bytes(content)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_entry_is_noticed(
    config: Config, folder: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    expected = config.data.read(config.asked)
    read(config)
    (entry,) = entries(folder)
    DAMAGE[damage](entry)
    assert_same(read(config), expected)
    assert [f"{entry}: damaged" in record.message for record in caplog.records] == [True]
    assert_same(read(config), expected)
    assert len(caplog.records) == 1


def test_an_entry_without_a_file_is_made_anew(config: Config, folder: Path) -> None:
    expected = config.data.read(config.asked)
    for file in ("x.npy", "facts.json"):
        read(config)
        (entry,) = entries(folder)
        (entry / file).unlink()
        assert_same(read(config), expected)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such limit")
def test_a_full_disk_costs_the_cache_alone(
    config: Config, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache.say_unused.cache_clear()
    expected = config.data.read(config.asked)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # of a file
    try:
        found = read(config)
        splits = load_data(config)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert_same(found, expected)
    assert sum(len(s.x) for s in splits.train) == 120
    assert [record.message for record in caplog.records] == [
        "the cache of large data can't be used (File too large): memory takes its place"
    ]
    assert not [*folder.rglob("*.npy"), *folder.glob(".*")]


def test_a_cache_that_can_not_be_made_is_told(
    config: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cache.say_unused.cache_clear()
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("EDGE_LSTM_CACHE", str(tmp_path / "file"))
    assert_same(read(config), config.data.read(config.asked))
    read(config)
    assert len(caplog.records) == 1
    assert "Not a directory" in caplog.records[0].message


def test_bad_data_is_told_as_without_a_cache(
    configure: Configure, forecast_csv: Path, folder: Path
) -> None:
    forecast_csv.write_text(forecast_csv.read_text().replace("\n3,", "\nthree,"))
    config = configure(FORECAST)
    with pytest.raises(Exception, match="row 4: 'three' is no number") as expected:
        config.data.read(config.asked)
    with pytest.raises(type(expected.value)) as found:
        read(config)
    assert str(found.value) == str(expected.value)
    assert not entries(folder)


def test_what_was_not_used_for_longest_is_removed(
    config: Config, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each entry has 200 rows of 1 or 2 channels: some 2,200 or 3,800 bytes with its facts."""
    monkeypatch.setattr(cache, "LIMIT", 12_000)
    made = []
    for channels in (("a", "b"), ("b", "a"), ("a",)):
        kept.recordings(config.data.model_copy(update={"channels": channels}), config.asked)
        made += [entry for entry in entries(folder) if entry not in made]
        for age, entry in enumerate(made):
            for file in entry.iterdir():
                os.utime(file, (1e9 + age, 1e9 + age))
    read(config)  # the first one is used again
    kept.recordings(config.data.model_copy(update={"channels": ("b",)}), config.asked)
    left = entries(folder)
    assert made[0] in left
    assert made[1] not in left
    assert sum(f.stat().st_size for entry in left for f in entry.iterdir()) <= 12_000


def test_two_at_once_read_once(
    config: Config, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = []
    table = csv.read_table

    def slow(*given: Any) -> Any:
        began.append(1)
        time.sleep(0.2)
        return table(*given)

    monkeypatch.setattr(csv, "read_table", slow)
    found: list[list[Recording]] = []
    threads = [threading.Thread(target=lambda: found.append(read(config))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(began) == 1
    assert_same(found[0], found[1])
    assert_same(found[0], found[2])
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def trained(config: Config, out: Path, **more: Any) -> tuple[Run, dict[str, Any]]:
    run = train(config, out, quiet=True, **more)
    metrics = json.loads((out / "metrics.json").read_text())
    for key in ("threads", "sha256"):  # with the seconds of a batch
        del metrics[key]
    return run, metrics


def assert_same_run(one: Run, other: Run) -> None:
    assert one.fingerprint == other.fingerprint
    assert one.spec == other.spec
    for name, array in one.weights.items():
        np.testing.assert_array_equal(array, other.weights[name])


@pytest.mark.parametrize("text", [CLASSIFY, FORECAST])
def test_a_run_is_the_same_to_the_bit(
    configure: Configure,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
) -> None:
    """Also one that was begun without the cache and is resumed with it."""
    request.getfixturevalue("classify_csv" if text is CLASSIFY else "forecast_csv")
    config = configure(text, train__threads=1)
    with monkeypatch.context() as small:
        small.setattr(kept, "SMALL", 1 << 40)
        small.setattr(remembered, "LARGE", 1 << 40)
        expected, metrics = trained(config, tmp_path / "expected")
        train(configure(text, train__threads=1), tmp_path / "resumed", quiet=True)
        assert not (tmp_path / "cache" / "data").exists()
    for name in ("first", "second"):
        run, found = trained(config, tmp_path / name)
        assert_same_run(run, expected)
        assert found == metrics
    (tmp_path / "resumed" / "metrics.json").unlink()  # it was interrupted at its end
    run, found = trained(config, tmp_path / "resumed", resume=True)
    assert_same_run(run, expected)
    assert found == metrics


@pytest.fixture
def parted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "WHOLE", 0)
    monkeypatch.setattr(chunks, "ROWS", 7)


@pytest.mark.usefixtures("parted")
@pytest.mark.parametrize("channels", [2, 3, 7])
def test_sums_in_parts_are_those_of_the_whole(channels: int) -> None:
    rng = np.random.default_rng(channels)
    arrays = [rng.normal(size=(rows, channels)) * 1e3 for rows in (20, 1, 50)]
    rows = chunks.Rows(lambda: arrays, 1)
    np.testing.assert_array_equal(rows.sum(), np.concatenate(arrays).sum(axis=0))
    assert max(map(len, rows)) == 7


@pytest.mark.parametrize("text", [CLASSIFY, FORECAST])
def test_statistics_in_parts_are_those_of_the_whole(
    configure: Configure,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
) -> None:
    """All of them have two columns or more. One column alone is summed in another order."""
    request.getfixturevalue("classify_csv" if text is CLASSIFY else "forecast_csv")
    config = configure(text)
    monkeypatch.setattr(remembered, "LARGE", 1 << 40)
    splits = load_data(config)
    expected = make_spec(config, splits)
    monkeypatch.setattr(chunks, "WHOLE", 0)
    monkeypatch.setattr(chunks, "ROWS", 7)
    again = load_data(config)
    assert again.fingerprint == splits.fingerprint
    assert make_spec(config, again) == expected


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("short", ["pad", "drop"])
@pytest.mark.parametrize(("window", "stride"), [(8, None), (8, 3), (8, 8), (8, 20), (8, 1)])
def test_windows_are_cut_as_one_would_cut_them(
    configure: Configure, window: int, stride: int | None, short: str, order: Any
) -> None:
    """Rows whose future is unknown don't count, and windows of such rows alone are left out."""
    config = configure(FORECAST)
    rng = np.random.default_rng(window + (stride or 0))
    lengths = (30, 8, 5, 19)
    sequences = [
        Sequence("s", "s", np.asarray(rng.normal(size=(n, 2)), order=order)) for n in lengths
    ]
    splits = Splits(sequences, sequences, sequences, ("a", "b"))
    spec = make_spec(config, splits)
    x, mask, y = [], [], []
    for sequence in sequences:
        features = (sequence.x - np.array(spec.inputs.mean)) / np.array(spec.inputs.std)
        steps = len(sequence.x)
        ahead = np.full((steps, 3), np.nan)
        for k in range(3):
            ahead[: steps - k - 1, k] = sequence.x[k + 1 :, 1]
        known = np.isfinite(ahead).all(axis=1)
        wanted = (ahead - np.array(spec.answer.offset)) / np.array(spec.answer.scale)
        starts = [*range(0, steps - window + 1, stride or window)]
        if starts and starts[-1] + window < steps:
            starts.append(steps - window)
        if not starts and short == "pad":
            starts = [0]
        for start in starts:
            rows = slice(start, start + window)
            if known[rows].any():
                more = window - len(features[rows])
                x.append(np.pad(features[rows], ((0, more), (0, 0))))
                mask.append(np.pad(known[rows], (0, more)))
                y.append(np.pad(np.where(known[:, None], wanted, 0)[rows], ((0, more), (0, 0))))
    cuts = Cuts(window, stride, short)
    found = windows(spec, sequences, cuts)
    everything = found.take(slice(None))
    np.testing.assert_array_equal(everything.x, np.array(x, np.float32))
    np.testing.assert_array_equal(everything.mask, mask)
    np.testing.assert_array_equal(everything.y, np.array(y, np.float32))
    np.testing.assert_array_equal(found.counted, np.sum(mask, axis=1))
    kept_ones = remembered.windows(spec, sequences, cuts, splits)
    np.testing.assert_array_equal(kept_ones.take(slice(None)).x, everything.x)
    if stride == 1:
        assert len(found.rows) < 2 * sum(lengths)


def test_what_is_let_go_of_can_be_read_again(tmp_path: Path) -> None:
    expected = np.random.default_rng(0).normal(size=(5000, 7))
    np.save(tmp_path / "x.npy", expected)
    found = np.asarray(np.load(tmp_path / "x.npy", mmap_mode="r"))
    for part in (found, found[1000:4000], found[3:4], expected):
        before = part.copy()
        chunks.let_go(part)
        np.testing.assert_array_equal(part, before)


def test_what_a_program_changed_in_its_copy_is_not_let_go_of(tmp_path: Path) -> None:
    """mmap_mode "c": the changes are in this process's memory alone."""
    np.save(tmp_path / "x.npy", np.zeros((5000, 7)))
    found = np.load(tmp_path / "x.npy", mmap_mode="c")
    found += 1
    for array in (found, np.asarray(found)):
        chunks.let_go(array)
        assert (array == 1).all()
