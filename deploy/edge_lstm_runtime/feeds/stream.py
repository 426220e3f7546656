"""Bytes, as they come, cut into lines of text."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from typing import Any

from ..errors import SampleError
from ..inputs.text import BOMS, TextForm, encoding_of
from .source import Gate

LONGEST = 1 << 20  # characters of a line
Line = str | SampleError  # a line without its end, or the reason why it is none


def blocks(
    chunks: Iterable[bytes], form: TextForm, gate: Gate | None = None
) -> Iterator[list[Line]]:
    """All lines that are complete after each chunk. No line waits for a byte after its end.

    chunks: of up to LONGEST bytes. b"" says that the writer has gone and another stream follows.
    A byte order mark at the beginning decides on the encoding, or else the form. Bytes that can't
    be decoded are replaced, so that garbled serial input is one bad line. Raises UnicodeError.

    gate: of the chunks. It is told whether they end within a line.
    """
    gate = gate or Gate()
    stream = _Stream(form)
    for chunk in chunks:
        if chunk:
            found = stream.push(chunk)
            gate.part = stream.part
            yield found
        else:
            yield stream.end("its writer has gone in the middle of it")
            stream = _Stream(form)
    yield stream.end("the command was stopped in the middle of it" if gate.stopped else "")


class _Stream:
    def __init__(self, form: TextForm):
        self._form = form
        self._start = b""  # held until it can be no part of a byte order mark
        self._decoder: Any = None
        self._carriage_return = False  # the last character. A newline may belong to it
        self._parts: list[str] = []  # of the line that is not complete
        self._size = 0  # of that line, in characters
        self._told = False  # that it is too long

    def push(self, chunk: bytes) -> list[Line]:
        """The lines that are now complete."""
        if self._decoder is None:
            self._start += chunk
            if any(bom != self._start and bom.startswith(self._start) for bom in BOMS):
                return []
        return self._cut(self._decode(chunk))

    @property
    def part(self) -> bool:
        """Whether a line or its end is not complete."""
        held = self._decoder is not None and bool(self._decoder.getstate()[0])
        return held or self._carriage_return or self._size > 0

    def end(self, cut: str = "") -> list[Line]:
        """The line that has no end. cut: why it is not the whole line, "" if it is."""
        found = self._cut(self._decode(b"", final=True))
        if not self._size:
            return found
        line = self._complete()
        if cut and line:
            line = [SampleError(f"the line is cut off: {cut}")]
        return found + line

    def _decode(self, chunk: bytes, *, final: bool = False) -> str:
        if self._decoder is None:
            encoding = encoding_of(self._start, self._form)
            self._decoder = codecs.getincrementaldecoder(encoding)("replace")
            chunk = self._start
        decoded: str = self._decoder.decode(chunk, final)
        return decoded

    def _cut(self, text: str) -> list[Line]:
        if not text:
            return []
        if self._carriage_return:
            text = text.removeprefix("\n")
        self._carriage_return = text.endswith("\r")
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        first, *others = text.split("\n")
        found = self._grow(first)
        if others:
            *whole, last = others
            found += [*self._complete(), *whole, *self._grow(last)]
        return found

    def _grow(self, part: str) -> list[Line]:
        """Add to the line that is not complete. A line that gets too long is told of, once."""
        self._size += len(part)
        if self._size <= LONGEST:
            self._parts.append(part)
            return []
        self._parts = []
        told = self._told
        self._told = True
        advice = "all up to its end is left out; end each sample with a newline"
        return [] if told else [SampleError(f"more than {LONGEST} characters in a line; {advice}")]

    def _complete(self) -> list[Line]:
        line: list[Line] = [] if self._told else ["".join(self._parts)]
        self._parts = []
        self._size = 0
        self._told = False
        return line
