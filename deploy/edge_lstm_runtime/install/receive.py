"""A bundle and its signature: from a file, or from a tar archive on standard input.

The archive is uncompressed (ustar, as `tar -c NAME.edge NAME.edge.sig` writes it). It is read here
and not by `tarfile`, which keeps whatever a header announces and unpacks links and devices.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import IO, NamedTuple

from ..errors import BundleError
from ..model.bundle import MAX_BYTES, read_whole
from ..trust.check import signature_of
from ..trust.sshsig import MAX_BYTES as MAX_SIGNATURE

NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\.edge(\.sig)?")
BLOCK = 512
PIECE = 1 << 20
COMMENTS = b"xg"  # of pax: dates and owners, nothing that is needed here
EXPECTED = "expected an uncompressed tar with NAME.edge and, if it is signed, NAME.edge.sig"


class Sent(NamedTuple):
    """shown: its name in messages. stem: of NAME.edge. signature: None if there is none."""

    shown: str
    stem: str
    bundle: bytes
    signature: bytes | None


def from_file(path: Path) -> Sent:
    """Raises BundleError."""
    data = read_whole(path)
    found = NAME.fullmatch(path.name)
    if found is None or found[2]:
        raise BundleError(f"{path} is no bundle's name; expected NAME.edge, such as mine.edge")
    beside = signature_of(path)
    try:
        with beside.open("rb") as file:
            signature = file.read(MAX_SIGNATURE + 1)
    except FileNotFoundError:
        return Sent(str(path), found[1], data, None)
    except OSError as e:
        raise BundleError(f"can't read the signature {beside}: {e.strerror}") from e
    return Sent(str(path), found[1], data, _short(signature, str(beside)))


def from_tar(stream: IO[bytes]) -> Sent:
    """Raises BundleError for an archive that is cut off, or has anything else in it."""
    parts: dict[str, bytes] = {}
    stem = ""
    while any(header := _exactly(stream, BLOCK)):
        name, kind, size = _header(header)
        if kind in COMMENTS and size <= PIECE:
            _member(stream, size)
            continue
        found = NAME.fullmatch(name)
        if kind not in b"0\0" or found is None or stem not in ("", found[1]):
            raise _refused(f"has the member {name[:100]!r}")
        stem = found[1]
        part = found[2] or ""
        most = MAX_SIGNATURE if part else MAX_BYTES
        if part in parts or size > most:
            why = "twice" if part in parts else f"of {size} bytes; expected at most {most}"
            raise _refused(f"has {name} {why}")
        parts[part] = _member(stream, size)
    if "" not in parts:
        raise _refused("has no bundle")
    return Sent(f"{stem}.edge", stem, parts[""], parts.get(".sig"))


def _header(block: bytes) -> tuple[str, bytes, int]:
    """Name, type and size of a member, as in POSIX.1-1988 (ustar)."""
    try:
        told = int(block[148:156].strip(b" \0"), 8)
        size = int(block[124:136].strip(b" \0") or b"0", 8)
    except ValueError:
        told = size = -1
    if size < 0 or told != sum(block[:148]) + 8 * 32 + sum(block[156:]):
        raise _refused("is no tar archive, or damaged")
    name = block[:100].rstrip(b"\0").decode("ascii", "backslashreplace")
    prefix = block[345:500].rstrip(b"\0") if block[257:263] == b"ustar\0" else b""
    return (
        f"{prefix.decode('ascii', 'backslashreplace')}/{name}" if prefix else name,
        block[156:157],
        size,
    )


def _member(stream: IO[bytes], size: int) -> bytes:
    data = _exactly(stream, size)
    _exactly(stream, -size % BLOCK)
    return data


def _exactly(stream: IO[bytes], size: int) -> bytes:
    """So many bytes, of which no more are held than have come."""
    data = bytearray()
    while len(data) < size:
        piece = stream.read(min(size - len(data), PIECE))
        if not piece:
            raise _refused("is cut off")
        data += piece
    return bytes(data)


def _short(signature: bytes, name: str) -> bytes:
    if len(signature) > MAX_SIGNATURE:
        raise BundleError(f"{name} has more than {MAX_SIGNATURE} bytes, so it is no signature")
    return signature


def _refused(why: str) -> BundleError:
    return BundleError(f"the archive on standard input {why}; {EXPECTED}")
