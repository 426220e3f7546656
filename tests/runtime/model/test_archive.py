"""The reader of archives reads as the standard library's zipfile does, or refuses."""

from __future__ import annotations

import io
import warnings
import zipfile

import numpy as np
import pytest

from edge_lstm_runtime.model.archive import ArchiveError, content, directory, stored
from edge_lstm_runtime.model.npz import write_npz

MEMBERS = {"a.txt": b"hello", "empty": b"", "käse/日本.bin": bytes(range(256)) * 9, "é": b"1"}


def packed(members: dict[str, bytes], *, comment: bytes = b"", method: int = 0) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, data in members.items():
            file.writestr(zipfile.ZipInfo(name), data, method)
        file.comment = comment
    return buffer.getvalue()


def ours(data: bytes) -> dict[str, bytes]:
    entries = directory(data)
    if not stored(entries, len(data)):
        raise ArchiveError("compressed")
    return {e.name: content(data, e) for e in entries}


def theirs(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return {info.filename: file.read(info) for info in file.infolist()}


@pytest.mark.parametrize("comment", [b"", b"0" * 64, b"PK", bytes(65535)])
@pytest.mark.parametrize("members", [MEMBERS, {}, dict(list(MEMBERS.items())[:1])])
def test_it_reads_what_was_written(members: dict[str, bytes], comment: bytes) -> None:
    assert ours(packed(members, comment=comment)) == members


def test_it_reads_numpys_files_whose_headers_are_of_64_bits() -> None:
    data = write_npz({"x": np.arange(6.0), "y": np.zeros((0, 3))})
    assert ours(data) == theirs(data)
    assert list(ours(data)) == ["x.npy", "y.npy"]


def test_a_name_of_the_old_encoding() -> None:
    data = packed({"aa": b"1"}).replace(b"aa", b"a\x81")
    assert ours(data) == theirs(data) == {"aü": b"1"}


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressed_members_are_not_stored(method: int) -> None:
    data = packed({"a.txt": b"hello" * 99}, method=method)
    entries = directory(data)
    assert not stored(entries, len(data))
    with pytest.raises(ArchiveError, match=r"^a\.txt is compressed or encrypted$"):
        content(data, entries[0])


def test_members_that_lie_on_each_other_are_not_stored() -> None:
    """1,000 names for the same bytes: a small file that would take much memory."""
    data = packed({"a": bytes(10_000)})
    end = data.rindex(b"PK\5\6")
    entry = data[data.rindex(b"PK\1\2") : end]
    tail = bytearray(data[end:])
    tail[8:10] = tail[10:12] = (1000).to_bytes(2, "little")
    tail[12:16] = (1000 * len(entry)).to_bytes(4, "little")
    bomb = data[: end - len(entry)] + 1000 * entry + bytes(tail)
    assert len(directory(bomb)) == 1000
    assert not stored(directory(bomb), len(bomb))


@pytest.mark.parametrize("data", [b"", b"PK\5\6", b"hello" * 99, b"\x7fELF" + bytes(99)])
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(ArchiveError, match=r"^it has no directory of a zip archive$"):
        directory(data)


def test_a_cut_off_archive_is_refused_at_every_length() -> None:
    data = packed(MEMBERS, comment=b"0" * 64)
    for length in range(len(data)):
        with pytest.raises(ArchiveError):
            ours(data[:length])


def test_damage_is_refused_or_read_as_zipfile_reads_it() -> None:
    """Bytes are changed anywhere, most of them in headers. Nothing but ArchiveError is raised."""
    rng = np.random.default_rng(0)
    start = packed(MEMBERS, comment=b"0" * 64)
    headers = [i for i in range(len(start)) if start[i : i + 2] == b"PK"]
    both = 0
    for _ in range(5000):
        data = bytearray(start)
        for _ in range(rng.integers(1, 4)):
            place = int(rng.choice(headers) + rng.integers(50)) % len(data)
            data[place] = rng.choice([0, 1, 0x7F, 0xFF, rng.integers(256)])
        try:
            found = ours(bytes(data))
        except (ArchiveError, UnicodeDecodeError):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                assert theirs(bytes(data)) == found
            except (zipfile.BadZipFile, NotImplementedError):
                continue  # of a version or an extra field that is not read here
        both += 1
    assert both > 500
