"""Reading a zip archive whose members are not compressed, as in a bundle and in its .npz files.

The standard library's zipfile loads every kind of compression: 3 ms and 2 MB of a board's memory.
What is read here, that reads in the same way. Archives that it would repair are refused.
(Format: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12 and 4.3.16.)
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

_END = struct.Struct("<4s4H2LH")  # of the archive; a comment follows
_ENTRY = struct.Struct("<4s6H3L5H2L")  # of its directory; name, extra and comment follow
_HEADER = struct.Struct("<4s5H3L2H")  # of a member; name, extra and content follow
_UTF_8 = 0x800
_UNREADABLE = 0x1 | 0x20 | 0x40  # encrypted, patched, strongly encrypted


class ArchiveError(ValueError):
    """It is no such archive, or a damaged one."""


class Entry(NamedTuple):
    """A member, as the directory states it. size: of its content. method: 0 if not compressed."""

    name: str
    flags: int
    method: int
    crc: int
    size: int
    place: int
    raw_name: bytes


def directory(data: bytes) -> list[Entry]:
    """The members of an archive in their order. Raises ArchiveError."""
    end = len(data) - _END.size
    if data[end : end + 4] != b"PK\5\6" or end < 0:  # a comment follows
        end = data.rfind(b"PK\5\6", max(0, end - 0xFFFF))
    if end < 0 or end + _END.size > len(data):
        raise ArchiveError("it has no directory of a zip archive")
    _, disk, disks, here, count, size, start, comment = _END.unpack_from(data, end)
    if (disk, disks, here) != (0, 0, count) or start + size != end:
        raise ArchiveError("its directory is not where it says")
    if end + _END.size + comment != len(data):
        raise ArchiveError("its comment has another length than it says")
    found = []
    for _ in range(count):
        if start + _ENTRY.size > end:
            raise ArchiveError("its directory is cut off")
        (sign, _, _, flags, method, _, _, crc, _, size, name, extra, note, _, _, _, place) = (
            _ENTRY.unpack_from(data, start)
        )
        start += _ENTRY.size
        raw_name = data[start : start + name]
        start += name + extra + note
        if sign != b"PK\1\2" or start > end:
            raise ArchiveError("its directory is damaged")
        text = raw_name.decode("utf-8" if flags & _UTF_8 or raw_name.isascii() else "cp437")
        found.append(Entry(text, flags, method, crc, size, place, raw_name))
    if start != end:
        raise ArchiveError("its directory has more than its members")
    return found


def stored(entries: list[Entry], size: int) -> bool:
    """Whether these members of an archive of `size` bytes are uncompressed.

    Reading them then takes no more memory than the archive has bytes.
    """
    return all(e.method == 0 for e in entries) and sum(e.size for e in entries) <= size


def content(data: bytes, entry: Entry) -> bytes:
    """The content of a member that is not compressed. Raises ArchiveError."""
    if entry.method != 0 or entry.flags & _UNREADABLE:
        raise ArchiveError(f"{entry.name} is compressed or encrypted")
    if entry.place + _HEADER.size > len(data):
        raise ArchiveError(f"{entry.name} is not where the directory says")
    sign, *_, name, extra = _HEADER.unpack_from(data, entry.place)
    start = entry.place + _HEADER.size
    if sign != b"PK\3\4" or data[start : start + name] != entry.raw_name:
        raise ArchiveError(f"{entry.name} is not where the directory says")
    start += name + extra
    found = data[start : start + entry.size]
    if len(found) != entry.size or zlib.crc32(found) != entry.crc:
        raise ArchiveError(f"{entry.name} is cut off or altered")
    return found
