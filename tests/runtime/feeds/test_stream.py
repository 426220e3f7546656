"""Bytes into lines, however they are cut: the same as Python's own reader of text finds."""

from __future__ import annotations

import codecs
import io
import itertools
import tracemalloc
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_lstm_runtime.errors import SampleError
from edge_lstm_runtime.feeds.stream import Line, blocks
from edge_lstm_runtime.inputs.text import TextForm
from helpers.generated import PROPERTY

TEXT = "a,b\r\n1,2\n\n3,4\r5,\N{DEGREE SIGN}\N{SNOWMAN}\N{GRINNING FACE}\r\n\r\n6"
BOMS = {
    "utf-8": b"",
    "utf-8-sig": b"",  # Python's encoder writes it
    "utf-16": b"",
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges) if a < b]


def lines(chunks: Sequence[bytes], form: TextForm | None = None) -> list[Line]:
    return [line for block in blocks(chunks, form or TextForm()) for line in block]


def expected(data: bytes, encoding: str) -> list[str]:
    text = io.TextIOWrapper(io.BytesIO(data), encoding, "replace")
    return [line.removesuffix("\n") for line in text]


@pytest.mark.parametrize("encoding", BOMS)
def test_cut_at_every_byte(encoding: str) -> None:
    data = BOMS[encoding] + TEXT.encode(encoding)
    wanted = ["a,b", "1,2", "", "3,4", "5,\N{DEGREE SIGN}\N{SNOWMAN}\N{GRINNING FACE}", "", "6"]
    for k in range(len(data) + 1):
        assert lines(cut(data, [k])) == wanted
    assert lines(cut(data, range(len(data)))) == wanted


@PROPERTY
@given(
    data=st.one_of(
        st.binary(max_size=40),
        st.text("1,\r\n\u00e9\u2603", max_size=30).map(str.encode),
        st.text("1,\r\n\u00e9", max_size=30).map(lambda text: text.encode("utf-16")),
    ),
    places=st.lists(st.integers(0, 40), max_size=6),
    encoding=st.sampled_from(["", "latin-1", "cp1252", "utf-8"]),
)
def test_any_bytes_however_they_are_cut(data: bytes, places: list[int], encoding: str) -> None:
    found = next((e for b, e in FIRST.items() if data.startswith(b)), encoding or "utf-8")
    chunks = cut(data, [min(place, len(data)) for place in places])
    assert lines(chunks, TextForm(encoding=encoding)) == expected(data, found)


FIRST = {  # as in the Unicode standard
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}


def test_a_line_is_there_with_the_last_byte_of_its_end() -> None:
    chunks = [b"1,2", b"\n", b"3,4\r", b"\n5", b",6\r\n7", b"", b"8\n"]
    assert list(blocks(chunks[:5], TextForm())) == [
        [], ["1,2"], ["3,4"], [], ["5,6"], ["7"],
    ]  # fmt: skip


def test_a_writer_that_goes_away() -> None:
    # Half a line may look like a whole one. The next writer begins with a byte order mark.
    first, lost, third = lines([b"1,2\n3,4", b"", codecs.BOM_UTF8 + b"5,6\n"])
    assert first == "1,2"
    assert isinstance(lost, SampleError)
    assert str(lost) == "the line is cut off: its writer has gone in the middle of it"
    assert third == "5,6"


@pytest.mark.parametrize("size", [1000, 1 << 16, 1 << 20])
def test_a_line_that_is_too_long(size: int) -> None:
    longest = 1 << 20
    data = (
        b"1\n" + b"x" * longest + b"\n" + b"y" * (3 * longest) + b"\r\n2\n" + b"z" * (longest + 1)
    )
    found = lines([data[k : k + size] for k in range(0, len(data), size)])
    message = (
        "more than 1048576 characters in a line; all up to its end is left out; end each sample "
        "with a newline"
    )
    assert [str(line) if isinstance(line, SampleError) else len(line) for line in found] == [
        1, longest, message, 1, message,
    ]  # fmt: skip


def test_no_newline_in_100_mb_takes_little_memory() -> None:
    tracemalloc.start()
    found = lines_of_endless(100 << 20)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) == 1
    assert peak < 10 << 20


def lines_of_endless(size: int) -> list[Line]:
    chunk = b"0" * (1 << 16)
    return [
        line
        for block in blocks((chunk for _ in range(size // len(chunk))), TextForm())
        for line in block
    ]
