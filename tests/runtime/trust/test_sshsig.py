"""Signature files: what OpenSSH writes is read, and anything else is refused in a line."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_lstm_runtime import SignatureError
from edge_lstm_runtime.trust.sshsig import Signature, fingerprint, key_of, read_signature
from helpers.keys import make_key, needs_openssh, openssh_takes, sign

MESSAGE = b"forty-two"
# Of MESSAGE, by OpenSSH 9.2, namespace edge-lstm-bundle.
KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIENNZNLIyj7GKU9/ABtvv5pduKfYd/xfeuFt95FvmaHf"
FILE = b"""-----BEGIN SSH SIGNATURE-----
U1NIU0lHAAAAAQAAADMAAAALc3NoLWVkMjU1MTkAAAAgQ01k0sjKPsYpT38AG2+/ml24p9
h3/F964W33kW+Zod8AAAAQZWRnZS1sc3RtLWJ1bmRsZQAAAAAAAAAGc2hhNTEyAAAAUwAA
AAtzc2gtZWQyNTUxOQAAAED+kAhIABKiVHJZ9z1ttti2H0oZpibjCqc7HKMGGz4t/5kWIM
6GCe+HQFn6ogztQHVy9rmfk9EHuONvIzYm5hgO
-----END SSH SIGNATURE-----
"""


def packed(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def armored(blob: bytes) -> bytes:
    text = base64.encodebytes(blob)
    return b"-----BEGIN SSH SIGNATURE-----\n" + text + b"-----END SSH SIGNATURE-----\n"


def made(
    kind: bytes = b"ssh-ed25519",
    namespace: bytes = b"edge-lstm-bundle",
    hash_name: bytes = b"sha512",
    signature: bytes = bytes(64),
    version: int = 1,
    rest: bytes = b"",
) -> bytes:
    key = packed(kind, bytes(32))
    inner = packed(kind, signature)
    fields = packed(key, namespace, b"", hash_name, inner)
    return armored(b"SSHSIG" + version.to_bytes(4, "big") + fields + rest)


def test_a_file_that_openssh_wrote() -> None:
    found = read_signature(FILE, "a.sig")
    assert found.key == key_of(base64.b64decode(KEY))
    assert (found.namespace, found.hash_name) == ("edge-lstm-bundle", "sha512")
    assert found.fits(MESSAGE)
    assert not found.fits(MESSAGE + b"x")
    assert (
        fingerprint(found.key) == "SHA256:WiCBPUHF+ZJv0Q9wtJhGt2+ODqa/yKAjqTcZo0SOr9U"
    )  # ssh-keygen -l
    for other in (
        Signature(found.key, "file", found.hash_name, found.signature),
        Signature(found.key, found.namespace, "sha256", found.signature),
    ):
        assert not other.fits(MESSAGE)


def test_blanks_around_it_and_ends_of_lines_of_windows_do_no_harm() -> None:
    assert read_signature(b"\n" + FILE.replace(b"\n", b"\r\n") + b"\n", "a.sig").fits(MESSAGE)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "expected -----BEGIN SSH SIGNATURE----- and -----END SSH SIGNATURE-----"),
        (FILE[:-20], "expected -----BEGIN SSH"),
        (FILE.replace(b"U1NI", b"U1N?"), "is no whole signature"),
        (made(rest=b"x"), "there is something after its end"),
        (made(version=2), "its version is 2, expected 1"),
        (made(hash_name=b"md5"), "its hash is 'md5', expected sha256 or sha512"),
        (made(signature=bytes(63)), "its signature has 63 bytes, expected 64"),
        (made(namespace=b"\xff"), "a name in it is not ASCII"),
        (armored(b"SSHSIG"), "it is cut off"),
        (armored(b"PGPSIG\0\0\0\1"), "it does not begin with SSHSIG"),
        (armored(b"SSHSIG\0\0\0\1\xff\xff\xff\xff"), "it is cut off"),
        (made(kind=b"ssh-rsa"), "a key of type 'ssh-rsa', and ssh-ed25519 alone is supported"),
        (made(kind=b"sk-ssh-ed25519@openssh.com"), "'sk-ssh-ed25519@openssh.com'"),
    ],
)
def test_what_is_no_signature_is_refused_in_a_line(data: bytes, said: str) -> None:
    with pytest.raises(SignatureError) as caught:
        read_signature(data, "a.sig")
    assert str(caught.value).startswith("a.sig is ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=200))
def test_any_bytes_in_the_armor_end_in_a_line(blob: bytes) -> None:
    with pytest.raises(SignatureError):
        read_signature(armored(b"SSHSIG\0\0\0\1" + blob), "a.sig")


@given(st.integers(0, len(FILE) - 1), st.integers(0, 255))
def test_a_changed_byte_ends_in_a_line_or_fits_no_other_message(place: int, byte: int) -> None:
    """Whatever is still read is the same signature: blanks are free, and so is `reserved`."""
    data = FILE[:place] + bytes([byte]) + FILE[place + 1 :]
    try:
        found = read_signature(data, "a.sig")
    except SignatureError:
        return
    assert not found.fits(MESSAGE + b"x")
    same = found == read_signature(FILE, "a.sig")
    assert found.fits(MESSAGE) == same


@needs_openssh
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=300), st.sampled_from(["sha256", "sha512"]), st.integers(0))
def test_what_ssh_keygen_signs_fits_and_a_flipped_bit_does_not(
    tmp_path: Path, message: bytes, hash_name: str, bit: int
) -> None:
    if not (tmp_path / "key").exists():
        make_key(tmp_path / "key")
    file = tmp_path / "message"
    file.write_bytes(message)
    found = read_signature(sign(file, tmp_path / "key", "any-name", hash_name).read_bytes(), "a")
    assert found.fits(message)
    assert (found.namespace, found.hash_name) == ("any-name", hash_name)
    changed = bytearray(message or b"\0")
    changed[bit // 8 % len(changed)] ^= 1 << bit % 8
    assert not found.fits(bytes(changed))


@needs_openssh
def test_ssh_keygen_takes_a_changed_file_if_it_is_taken_here(tmp_path: Path) -> None:
    """And in the base64 the other way round too: OpenSSH reads over what is around it."""
    signers = tmp_path / "signers"
    signers.write_text(f"me ssh-ed25519 {KEY}\n")
    file = tmp_path / "changed.sig"
    start = FILE.index(b"\n") + 1
    inside = range(start, FILE.index(b"\n-----END"))
    for place in (*range(0, len(FILE), 29), *inside[:: len(inside) // 40]):
        file.write_bytes(FILE[:place] + bytes([FILE[place] ^ 1]) + FILE[place + 1 :])
        try:
            ours = read_signature(file.read_bytes(), "a.sig").fits(MESSAGE)
        except SignatureError:
            ours = False
        theirs = openssh_takes(MESSAGE, file, signers, "me")
        assert theirs or not ours, place
        assert place not in inside or ours == theirs, place
