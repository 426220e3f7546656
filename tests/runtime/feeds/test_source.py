"""The bytes of an input as they come, from real files, FIFOs and terminals."""

from __future__ import annotations

import gzip
import os
import threading
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_lstm_runtime.errors import ConfigError
from edge_lstm_runtime.feeds.source import Source


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "fifo")
    return tmp_path / "fifo"


class Terminal:
    """A serial port whose device can be unplugged, at a path that stays the same."""

    def __init__(self, path: Path):
        self.path = path

    def plug_in(self) -> None:
        self.master, slave = os.openpty()
        tty.setraw(slave)
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(os.ttyname(slave))
        self._slave = slave

    def send(self, data: bytes) -> None:
        os.write(self.master, data)

    def unplug(self) -> None:
        self.path.unlink()
        os.close(self._slave)
        os.close(self.master)


def aside(*steps: Callable[[], object]) -> threading.Thread:
    """Take the steps while the test goes on."""
    thread = threading.Thread(target=lambda: [step() for step in steps], daemon=True)
    thread.start()
    return thread


def read(source: Source, parts: int) -> list[bytes]:
    """So many chunks, those without a gap between them joined."""
    found = [b""]
    chunks: Iterator[bytes] = source.chunks()
    while len(found) <= parts:
        if chunk := next(chunks):
            found[-1] += chunk
        else:
            found.append(b"")
    return found[:-1]


def test_a_fifo_whose_writers_come_and_go(fifo: Path) -> None:
    with Source(str(fifo), reopen=True) as source:
        sent = [b"first\nhal", b"second\n", b"third\n"]

        def write() -> None:
            for data in sent:
                fifo.write_bytes(data)
                time.sleep(0.2)

        thread = aside(write)
        assert read(source, 3) == sent
        thread.join()


def test_a_fifo_loses_nothing_if_writers_follow_each_other(fifo: Path) -> None:
    # A writer that comes between the end of one and a new opening must find a reader, and its
    # bytes must be found.
    sent = [b"%d\n" % k for k in range(300)]
    with Source(str(fifo), reopen=True) as source:
        thread = aside(lambda: [fifo.write_bytes(data) for data in sent])
        found = b""
        for chunk in source.chunks():
            found += chunk
            if found.count(b"\n") == 300:
                break
        thread.join()
    assert found == b"".join(sent)


def test_a_fifo_that_is_made_anew(fifo: Path) -> None:
    def write() -> None:
        fifo.write_bytes(b"old\n")
        fifo.unlink()
        time.sleep(0.1)
        os.mkfifo(fifo)
        fifo.write_bytes(b"new\n")

    with Source(str(fifo), reopen=True) as source:
        thread = aside(write)
        assert read(source, 2) == [b"old\n", b"new\n"]
        thread.join()


def test_a_device_that_is_plugged_in_again(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path / "port")
    terminal.plug_in()
    with Source(str(terminal.path), reopen=True) as source:
        chunks = source.chunks()
        terminal.send(b"1,2,3\n")
        assert next(chunks) == b"1,2,3\n"
        terminal.unplug()
        assert next(chunks) == b""
        thread = aside(lambda: time.sleep(0.2), terminal.plug_in, lambda: terminal.send(b"4,5\n"))
        assert next(chunks) == b"4,5\n"
        thread.join()
    terminal.unplug()


def test_without_reopen_a_device_that_goes_away_is_the_end(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path / "port")
    terminal.plug_in()
    with Source(str(terminal.path)) as source:
        chunks = source.chunks()
        terminal.send(b"1,2,3\n")
        assert next(chunks) == b"1,2,3\n"
        terminal.unplug()
        assert list(chunks) == []


def test_no_chunk_waits_for_more(fifo: Path) -> None:
    with fifo.open("r+b", buffering=0) as writer, Source(str(fifo)) as source:
        chunks = source.chunks()
        for data in (b"1", b"2\n", b"x" * 4096):
            writer.write(data)
            assert next(chunks) == data


@pytest.mark.parametrize("kind", ["file", "folder", "-", "missing"])
def test_reopen_is_for_fifos_and_devices(kind: str, tmp_path: Path) -> None:
    name = {"-": "-", "folder": str(tmp_path)}.get(kind, str(tmp_path / "a.csv"))
    if kind == "file":
        Path(name).write_text("1,2,3\n")
    expected = {
        "-": "--reopen is for a FIFO or a device; name it as --input, in place of -",
        "missing": f"can't read {name}: No such file or directory",
    }.get(kind, f"--reopen is for a FIFO or a device, and {name} is neither")
    with pytest.raises(ConfigError) as found:
        Source(name, reopen=True)
    assert str(found.value) == expected


def test_packed_files(tmp_path: Path) -> None:
    data = b"1,2,3\n" * 50_000
    path = tmp_path / "a.CSV.GZ"
    path.write_bytes(gzip.compress(data))
    with Source(str(path)) as source:
        assert b"".join(source.chunks()) == data


@pytest.mark.parametrize("damage", ["cut", "flipped", "block", "none of it"])
def test_damaged_packed_files(damage: str, tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(os.urandom(300_000).hex().encode()))
    if damage == "cut":
        del packed[-1000:]
    elif damage == "flipped":
        packed[200_000:200_100] = b"\xff" * 100
    elif damage == "block":
        packed[10] = 0xFF  # the first one's header: zlib has an error of its own
    else:
        packed[:2] = b"1,"
    path = tmp_path / "a.csv.gz"
    path.write_bytes(packed)
    with (
        Source(str(path)) as source,
        pytest.raises(ConfigError, match=r"can't (go on )?read.*gz: "),
    ):
        list(source.chunks())
