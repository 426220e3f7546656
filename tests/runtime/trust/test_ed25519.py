"""Ed25519: RFC 8032's vectors, Wycheproof's, and OpenSSL beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_lstm_runtime.trust.ed25519 import ORDER, P, verify

# RFC 8032, section 7.1: public key, message, signature.
RFC = {
    "TEST 1": (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b",
    ),
    "TEST 2": (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
        "387b2eaeb4302aeeb00d291612bb0c00",
    ),
    "TEST 3": (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
        "4a7c15e9716ed28dc027beceea1ec40a",
    ),
    "TEST SHA(abc)": (
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd"
        "454d4423643ce80e2a9ac94fa54ca49f",
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e030"
        "3dca179c138ac17ad9bef1177331a704",
    ),
}


def wycheproof() -> list[tuple[str, str, bytes, bytes, bytes]]:
    """The lines of the file: number and kind, result, key, message, signature."""
    found = []
    for line in (Path(__file__).parent / "data/wycheproof_ed25519.txt").read_text().splitlines():
        if not line.startswith("#"):
            number, result, flag, *values = line.split()
            key, message, signature = (bytes.fromhex(value.strip("-")) for value in values)
            found.append((f"{number} {flag}", result, key, message, signature))
    return found


@pytest.mark.parametrize("name", RFC)
def test_the_vectors_of_rfc_8032(name: str) -> None:
    key, message, signature = map(bytes.fromhex, RFC[name])
    assert verify(key, message, signature)
    assert not verify(key, message + b"x", signature)
    for k in range(0, 512, 37):
        changed = bytearray(signature)
        changed[k // 8] ^= 1 << k % 8
        assert not verify(key, message, bytes(changed)), k


def test_the_vectors_of_wycheproof() -> None:
    """82 that are invalid or a matter of taste, and 22 valid ones. By taste: a key of small order
    is refused, for it takes any message. One with a part of small order is a key like others."""
    vectors = wycheproof()
    assert len(vectors) == 104
    wrong = []
    for name, result, key, message, signature in vectors:
        expected = result == "valid" or (result, name[-19:]) == (
            "acceptable",
            "MixedOrderPublicKey",
        )
        if verify(key, message, signature) != expected:
            wrong.append(f"{name}: {result}")
    assert not wrong, wrong


def test_openssl_says_the_same_but_for_keys_of_small_order() -> None:
    keys = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    from cryptography.exceptions import InvalidSignature

    other = []
    for name, _, key, message, signature in wycheproof():
        try:
            keys.Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
            taken = True
        except InvalidSignature:
            taken = False
        if taken != verify(key, message, signature):
            other.append(name.split()[1])
    assert other == ["SmallOrderPublicKey"] * 8


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=40), st.integers(0, 767))
def test_openssl_says_the_same_of_random_keys_and_flipped_bits(
    seed: bytes, message: bytes, bit: int
) -> None:
    """bit: of the key, then of the signature."""
    keys = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    from cryptography.exceptions import InvalidSignature

    private = keys.Ed25519PrivateKey.from_private_bytes(seed)
    both = private.public_key().public_bytes_raw() + private.sign(message)
    assert verify(both[:32], message, both[32:])
    flipped = bytearray(both)
    flipped[bit // 8] ^= 1 << bit % 8
    key = bytes(flipped[:32])
    signature = bytes(flipped[32:])
    try:
        keys.Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
        taken = True
    except (InvalidSignature, ValueError):
        taken = False
    assert verify(key, message, signature) == taken


def test_what_is_no_key_or_no_signature() -> None:
    key, message, signature = map(bytes.fromhex, RFC["TEST 2"])
    higher = int.from_bytes(signature[32:], "little") + ORDER
    assert not verify(key, message, signature[:32] + higher.to_bytes(32, "little"))
    assert ORDER == 2**252 + 0x14DEF9DEA2F79CD65812631A5CF5D3ED  # section 5.1
    for odd in (b"", key[:31], key + b"\0", (P + 1).to_bytes(32, "little"), b"\xff" * 32):
        assert not verify(odd, message, signature)
    for odd in (b"", signature[:63], signature + b"\0"):
        assert not verify(key, message, odd)
    minus_zero = (1 | 1 << 255).to_bytes(32, "little")  # x = 0 with the sign of -0: no encoding
    assert not verify(minus_zero, message, signature)


def test_a_key_of_small_order_takes_no_message() -> None:
    """The neutral element as key and as R, and S = 0: without the check it fits any message."""
    neutral = (1).to_bytes(32, "little")
    assert not verify(neutral, b"anything", neutral + bytes(32))
