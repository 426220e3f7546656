"""The header of a wav file, read by our own: Python's `wave` differs between its versions.

A file is a list of chunks, each of a name, a size, and as many bytes, plus one if the size is odd:

    "RIFF" size "WAVE"   the file. The size is that of all that follows
    "fmt " size          format, channels, sample rate, bytes a second, bytes a sample of all
                         channels, bits a sample. Format 0xFFFE tells the true one in a GUID
    "data" size          the samples

Other chunks before "data" are passed over, and what comes after it is not read.

A recorder in a pipe doesn't know the size of its samples. It writes 0, or about 2 or 4 GB, and the
samples go on to the end of the file. A size of 0 is taken at its word if the size of the file says
that other chunks follow.
"""

from __future__ import annotations

import os
import shlex
import struct
from typing import IO, NamedTuple

from ..errors import DataError

PCM = 1
EXTENSIBLE = 0xFFFE
NAMES = {PCM: "PCM", 2: "ADPCM", 3: "float", 6: "A-law", 7: "mu-law", 0x11: "ADPCM", 0x55: "MP3"}
GUID = bytes.fromhex("000000001000800000aa00389b71")  # all but its first two bytes, the format
UNKNOWN = 0x7FFFF000  # sizes from here on are those of a recorder that doesn't know it
# Files that begin with another word than RIFF, and what they are.
OTHERS = {
    b"RF64": "for more than 4 GB",
    b"BW64": "for more than 4 GB",
    b"RIFX": "with the high byte first",
}
LONGEST = 0xFFFFFFFF - 37  # bytes of samples that a header can tell. More are read up to the end
BLOCK = 1 << 16  # bytes that are read at once to pass over a chunk


class _Format(NamedTuple):
    tag: int
    channels: int
    rate: int
    bits: int

    def __str__(self) -> str:
        name = NAMES.get(self.tag, f"format 0x{self.tag:04x}")
        plural = "" if self.channels == 1 else "s"
        return f"{self.bits}-bit {name}, {self.channels} channel{plural}, {self.rate} Hz"


def to_samples(file: IO[bytes], name: str, sample_rate: int) -> int | None:
    """Reads up to the first sample. Returns the bytes of all samples, None for up to the end.

    name: for the messages. sample_rate: Hz. Raises DataError unless it is a wav file of mono 16-bit
    PCM of this rate. If it is no pipe, it must also be as long as its header says.
    """
    return _Header(file, name, sample_rate).to_samples()


def rate_of(file: IO[bytes], name: str) -> int:
    """Hz, of a wav file that may have any rate. Raises DataError as `to_samples` does."""
    header = _Header(file, name, None)
    header.to_samples()
    assert header.rate is not None
    return header.rate


def header(rate: int, samples: int) -> bytes:
    """All that comes before the samples, which are mono 16-bit PCM."""
    size = min(2 * samples, LONGEST)
    form = struct.pack("<HHIIHH", PCM, 1, rate, 2 * rate, 2, 16)
    parts = (b"RIFF", size + 36, b"WAVE", b"fmt ", len(form), form, b"data", size)
    return b"".join(p if isinstance(p, bytes) else p.to_bytes(4, "little") for p in parts)


class _Header:
    def __init__(self, file: IO[bytes], name: str, rate: int | None):
        self._file = file
        self._name = name
        self.rate = rate  # None for any, until the header tells it
        self._place = 0

    def to_samples(self) -> int | None:
        size = self._riff()
        found = None
        while (chunk := self._read(8))[:4] != b"data":
            length = int.from_bytes(chunk[4:], "little")
            if chunk[:4] == b"fmt ":
                found = self._format(self._read(min(length, 40)))
                length -= min(length, 40)
            self._skip(length + length % 2)
        if found is None:
            raise self._error("has samples before it says their format", convert=True)
        if self.rate is None:
            self.rate = found.rate
        expected = _Format(PCM, 1, self.rate, 16)
        if found != expected:
            raise self._error(f"holds {found}; expected {expected}", convert=True)
        return self._samples(int.from_bytes(chunk[4:], "little"), size + 8 - self._place)

    def _riff(self) -> int:
        """The size of all that follows the first eight bytes, as the header says it."""
        start = self._file.read(12)
        self._place = len(start)
        if start[:4] in OTHERS:
            form = f"is a wav file in the form {start[:4].decode()} ({OTHERS[start[:4]]})"
            raise self._error(f"{form}; expected RIFF", convert=True)
        if not start:
            raise self._error("is empty; expected a wav file")
        if start[:4] != b"RIFF" or start[8:] != b"WAVE":
            raise self._error(f"is no wav file: it begins with {start!r}", convert=True)
        return int.from_bytes(start[4:8], "little")

    def _format(self, content: bytes) -> _Format:
        """content: of the chunk, 40 bytes or all."""
        if len(content) < 16:
            size = f"has {len(content)} bytes, expected 16 or more"
            raise self._error(f"its chunk 'fmt ' {size}", convert=True)
        tag, channels, rate, _, _, bits = struct.unpack("<HHIIHH", content[:16])
        if tag == EXTENSIBLE and content[26:] == GUID:
            tag = int.from_bytes(content[24:26], "little")
        return _Format(tag, channels, rate, bits)

    def _samples(self, size: int, later: int) -> int | None:
        """size: of the samples, as the header says it. later: the bytes that follow by the size of
        the whole file, as the header says it."""
        there = self._left()
        if size >= UNKNOWN and (there is None or there < size):
            return None
        if size == 0 and not 0 < later < UNKNOWN:
            return None
        if there is not None and there < size:
            samples = f"its header says {size // 2} samples, and there are {there // 2}"
            raise self._error(f"is cut off: {samples}; get the whole file")
        return size

    def _left(self) -> int | None:
        """The bytes up to the end of the file, None for a pipe."""
        if not self._file.seekable():
            return None
        here = self._file.tell()
        end = self._file.seek(0, os.SEEK_END)
        self._file.seek(here)
        return end - here

    def _read(self, size: int) -> bytes:
        found = self._file.read(size)
        self._place += len(found)
        if len(found) < size:
            raise self._error("ends before its first sample; get the whole file")
        return found

    def _skip(self, size: int) -> None:
        while size > 0:
            size -= len(self._read(min(size, BLOCK)))

    def _error(self, problem: str, *, convert: bool = False) -> DataError:
        file = "in.wav" if self._name == "-" else shlex.quote(self._name)
        rate = "" if self.rate is None else f"-ar {self.rate} "
        command = f"ffmpeg -i {file} -ac 1 {rate}-c:a pcm_s16le new.wav"
        advice = f"; convert it: {command}" if convert else ""
        return DataError(f"{self._name}: {problem}{advice}")
