"""Wav files: kinds C and E, in five forms of the header."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable

GUID = bytes.fromhex("0100000000001000800000aa00389b71")  # of PCM, from Microsoft's headers
UNKNOWN = 2**32 - 1


def _chunk(name: bytes, content: bytes, size: int | None = None) -> bytes:
    length = struct.pack("<I", len(content) if size is None else size)
    return name + length + content + b"\0" * (len(content) % 2)


def _format(rate: int, channels: int, bits: int, tag: int = 1) -> bytes:
    block = channels * bits // 8
    return struct.pack("<HHIIHH", tag, channels, rate, rate * block, block, bits)


# From the rate, the channels and the bits to the chunks before the samples.
FORMS: dict[str, Callable[[int, int, int], bytes]] = {
    "plain": lambda *of: _chunk(b"fmt ", _format(*of)),
    "18 bytes": lambda *of: _chunk(b"fmt ", _format(*of) + b"\0\0"),
    "extensible": lambda *of: _chunk(
        b"fmt ", _format(*of, 0xFFFE) + struct.pack("<HHI", 22, of[2], 4) + GUID
    ),
    "a list before": lambda *of: _chunk(b"LIST", b"INFOodd") + _chunk(b"fmt ", _format(*of)),
    "a fact between": lambda *of: _chunk(b"fmt ", _format(*of)) + _chunk(b"fact", b"\1\0\0\0"),
}


@dataclasses.dataclass(frozen=True)
class Sound:
    """samples  how many there are, each of 16 bits. The kth is k
    trains   how many samples training reads, or words of its error
    frames   how many the board answers, or words of its error
    size     of the samples in bytes, as the header says it. None for the true one
    whole    of all that follows, as the header says it. None for the true one
    after    further bytes
    cut      bytes that are lacking at the end
    """

    name: str
    samples: int
    trains: int | str
    frames: int | str
    size: int | None = None
    whole: int | None = None
    after: bytes = b""
    cut: int = 0
    rate: int = 8000
    channels: int = 1
    bits: int = 16

    def content(self, form: str) -> bytes:
        pcm = struct.pack(f"<{self.samples}h", *range(self.samples))
        chunks = FORMS[form](self.rate, self.channels, self.bits) + _chunk(b"data", pcm, self.size)
        file = _chunk(b"RIFF", b"WAVE" + chunks + self.after, self.whole)
        return file[: len(file) - self.cut]


# A frame is of 200 samples, and one begins every 80.
NONE = "the sound has 0 samples; expected a frame or more (200 samples)"
CASES = [
    Sound("a file", 1000, 1000, 11),
    Sound("one frame", 200, 200, 1),
    Sound("one sample less than two frames", 279, 279, 1),
    Sound("two frames", 280, 280, 2),
    Sound("a chunk after the samples", 1000, 1000, 11, after=_chunk(b"LIST", b"INFO" * 9)),
    Sound("text after the samples", 1000, 1000, 11, after=b"\n"),
    Sound("sizes 0, as of a recorder in a pipe", 1000, 1000, 11, size=0, whole=0),
    Sound("sizes 0xFFFFFFFF, as of ffmpeg", 1000, 1000, 11, size=UNKNOWN, whole=UNKNOWN),
    Sound("sizes of sox", 1000, 1000, 11, size=0x7FFFF000, whole=0x7FFFF024),
    Sound("sizes of arecord", 1000, 1000, 11, size=0x7FFFFFF0, whole=0x7FFFFFFF),
    Sound("size 0xFFFFFFFF, and half a sample", 1000, 999, 10, size=UNKNOWN, whole=UNKNOWN, cut=1),
    Sound("the whole file's size is wrong", 1000, 1000, 11, whole=7),
    Sound("no samples", 0, 0, NONE),
    Sound("no samples, and other chunks", 0, 0, NONE, after=_chunk(b"LIST", b"INFO")),
    Sound("no samples of a recorder", 0, 0, NONE, size=UNKNOWN, whole=UNKNOWN),
    Sound("shorter than a frame", 199, 199, "the sound has 199 samples; expected a frame or more"),
    *(
        Sound(f"cut off by {cut} bytes", 1000, *(
            f"its header says 1000 samples, and there are {there}; get the whole file",) * 2,
            cut=cut)
        for cut, there in ((1, 999), (2, 999), (501, 749), (2000, 0))
    ),
    *(
        Sound(f"cut off in the header by {cut} bytes", 1000, *(
            "ends before its first sample; get the whole file",) * 2, cut=cut)
        for cut in (2001, 2004, 2008)
    ),
    Sound("stereo", 1000, *("16-bit PCM, 2 channels, 8000 Hz; expected 16-bit PCM, 1 ch",) * 2,
          channels=2),
    Sound("another rate", 1000, *("16-bit PCM, 1 channel, 44100 Hz; expected 16-bit PCM",) * 2,
          rate=44100),
    Sound("of 8 bits", 1000, *("8-bit PCM, 1 channel, 8000 Hz; expected 16-bit PCM",) * 2, bits=8),
    Sound("of 24 bits", 1000, *("24-bit PCM, 1 channel, 8000 Hz; expected 16-bit",) * 2, bits=24),
]  # fmt: skip
