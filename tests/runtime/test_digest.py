"""The sha256 of files, by Python's own code and by OpenSSL."""

from __future__ import annotations

import hashlib

import pytest

from edge_lstm_runtime.digest import sha256


def test_a_known_one() -> None:
    """FIPS 180-2, appendix B.1."""
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256(b"abc") == expected


@pytest.mark.parametrize("size", [0, 1, 1_048_575, 1_048_576, 3_000_000])
def test_small_and_large_alike(size: int) -> None:
    data = (b"edge-lstm " * (size // 10 + 1))[:size]
    assert sha256(data) == sha256(memoryview(data)) == hashlib.sha256(data).hexdigest()
