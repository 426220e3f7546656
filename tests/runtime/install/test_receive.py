"""The tar on standard input, against archives of GNU tar and of Python's tarfile."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_lstm_runtime import BundleError
from edge_lstm_runtime.install.receive import from_file, from_tar

BUNDLE = bytes(range(256)) * 5
SIGNATURE = b"a signature"


def member(name: str, data: bytes = b"", **facts: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in facts.items():
        setattr(info, key, value)
    return info, data


def archive(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.USTAR_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def refused(data: bytes) -> str:
    with pytest.raises(BundleError) as caught:
        from_tar(io.BytesIO(data))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("the archive on standard input ")
    return str(caught.value)


BOTH = (member("a.edge", BUNDLE), member("a.edge.sig", SIGNATURE))


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("order", [1, -1])
def test_both_members_in_any_order(form: int, order: int) -> None:
    """A time with a fraction makes tarfile write a header of pax before the member."""
    found = from_tar(io.BytesIO(archive(*BOTH[::order], form=form)))
    assert found == ("a.edge", "a", BUNDLE, SIGNATURE)
    timed = member("my net.edge", BUNDLE, mtime=1.5)
    assert from_tar(io.BytesIO(archive(timed, form=form))) == (
        "my net.edge", "my net", BUNDLE, None
    )  # fmt: skip


@pytest.mark.skipif(shutil.which("tar") is None, reason="there is no tar here")
def test_an_archive_of_tar_itself(tmp_path: Path) -> None:
    (tmp_path / "a.edge").write_bytes(BUNDLE)
    (tmp_path / "a.edge.sig").write_bytes(SIGNATURE)
    packed = ["tar", "-c", "-C", str(tmp_path), "a.edge", "a.edge.sig"]
    data = subprocess.run(packed, capture_output=True, check=True).stdout
    assert from_tar(io.BytesIO(data)) == ("a.edge", "a", BUNDLE, SIGNATURE)
    data = subprocess.run([*packed, "-z"], capture_output=True, check=True).stdout
    assert "is no tar archive, or damaged" in refused(data) or "is cut off" in refused(data)


def test_what_is_behind_its_end_is_not_read() -> None:
    """So a sender that keeps the connection open keeps nobody waiting."""
    data = archive(*BOTH)
    stream = io.BytesIO(data + b"more")
    assert from_tar(stream).bundle == BUNDLE
    assert stream.tell() <= len(data)


def test_cut_off_anywhere() -> None:
    """The end's zeros count too: a signature may have been meant to follow."""
    data = archive(member("a.edge", b"1234"), member("a.edge.sig", b"5"))
    end = 4 * 512  # two headers and two members, then zeros
    for length in [0, 1, 511, 512, 513, 516, 1023, 1024, 1025, 1600, end, end + 1, end + 511]:
        assert "is cut off" in refused(data[:length])
    assert from_tar(io.BytesIO(data[: end + 512])).signature == b"5"


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ([], "has no bundle"),
        ([member("a.edge.sig", b"1")], "has no bundle"),
        ([member("../a.edge", b"1")], "has the member '../a.edge'"),
        ([member("/etc/a.edge", b"1")], "has the member '/etc/a.edge'"),
        ([member("b/a.edge", b"1")], "has the member 'b/a.edge'"),
        ([member("b/" * 60 + "a.edge", b"1")], "has the member 'b/b/"),
        ([member("./a.edge", b"1")], "has the member './a.edge'"),
        ([member(".edge", b"1")], "has the member '.edge'"),
        ([member("-a.edge", b"1")], "has the member '-a.edge'"),
        ([member("a\n.edge", b"1")], r"has the member 'a\n.edge'"),
        ([member("a.txt", b"1")], "has the member 'a.txt'"),
        ([*BOTH, member("b.edge", b"1")], "has the member 'b.edge'"),
        ([BOTH[0], member("b.edge.sig", b"1")], "has the member 'b.edge.sig'"),
        ([BOTH[0], BOTH[0]], "has a.edge twice"),
        ([BOTH[0], member("a.edge.sig", bytes(100_000))], "has a.edge.sig of 100000 bytes"),
        *(
            ([member("a.edge", type=kind, linkname="/etc/passwd")], "has the member 'a.edge")
            for kind in (
                tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE,
                tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE,
            )
        ),
    ],
)  # fmt: skip
def test_anything_else_is_refused(members: list[tuple[tarfile.TarInfo, bytes]], why: str) -> None:
    assert why in refused(archive(*members))


def test_a_size_above_the_limit_is_refused_before_it_comes() -> None:
    info, _ = member("a.edge")
    info.size = (1 << 28) + 1
    data = info.tobuf(tarfile.USTAR_FORMAT)
    assert "has a.edge of 268435457 bytes; expected at most 268435456" in refused(data)
    info.size = 1 << 28  # which may come, and does not
    assert "is cut off" in refused(info.tobuf(tarfile.USTAR_FORMAT) + bytes(5000))
    info.size = 1 << 40  # in GNU's binary form
    assert "is no tar archive, or damaged" in refused(info.tobuf(tarfile.GNU_FORMAT))


@given(st.lists(st.tuples(st.integers(0, 3599), st.integers(0, 255)), max_size=4), st.binary())
def test_damaged_bytes_give_a_bundle_or_one_line(changes: list[tuple[int, int]], tail: bytes):
    data = bytearray(archive(*BOTH)[:3600])
    for place, value in changes:
        data[place] = value
    try:
        found = from_tar(io.BytesIO(bytes(data) + tail))
    except BundleError:
        refused(bytes(data) + tail)
        return
    assert len(found.bundle) == len(BUNDLE)
    assert "/" not in found.stem
    assert found.stem


def test_a_file_and_the_signature_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.edge"
    path.write_bytes(BUNDLE)
    assert from_file(path) == (str(path), "a", BUNDLE, None)
    (tmp_path / "a.edge.sig").write_bytes(SIGNATURE)
    assert from_file(path) == (str(path), "a", BUNDLE, SIGNATURE)
    (tmp_path / "a.edge.sig").write_bytes(bytes(100_000))
    with pytest.raises(BundleError, match="so it is no signature"):
        from_file(path)
    with pytest.raises(BundleError, match=r"can't read .*none.edge: No such file"):
        from_file(tmp_path / "none.edge")
    with pytest.raises(BundleError, match=r"is no bundle's name; expected NAME.edge"):
        from_file(path.rename(tmp_path / "a.zip"))
