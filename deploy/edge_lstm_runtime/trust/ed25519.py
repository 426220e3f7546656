"""Ed25519 signatures are verified here, by RFC 8032, section 5.1.7. Nothing is secret, so time may
depend on the values.

It is as strict as a verifier can be: S must be below the group's order, the key and R must be
canonical encodings, R is compared byte by byte (without the cofactor, as OpenSSH and OpenSSL do),
and a key of small order, which fits any message, is refused as libsodium does. OpenSSH
itself takes a larger S and such a key.
"""

from __future__ import annotations

import hashlib

_Point = tuple[int, int, int, int]  # X, Y, Z, T: x = X/Z, y = Y/Z, x y = T/Z
P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, P) % P
_ROOT = pow(2, (P - 1) // 4, P)  # of -1
_ZERO: _Point = (0, 1, 1, 0)


def verify(key: bytes, message: bytes, signature: bytes) -> bool:
    """key: 32 bytes, signature: 64 bytes. Other lengths give False."""
    point = _decoded(key)
    scalar = int.from_bytes(signature[32:], "little")
    if point is None or len(signature) != 64 or scalar >= ORDER or _times(8, point)[0] == 0:
        return False
    digest = hashlib.sha512(signature[:32] + key + message).digest()
    factor = int.from_bytes(digest, "little") % ORDER
    minus = (P - point[0], point[1], 1, P - point[3])
    return _encoded(_sum_of(scalar, _BASE, factor, minus)) == signature[:32]


def _decoded(data: bytes) -> _Point | None:
    """Section 5.1.3. None if it is no point, or not as `_encoded` would write it."""
    y = int.from_bytes(data, "little")
    sign = y >> 255
    y &= (1 << 255) - 1
    if len(data) != 32 or y >= P:
        return None
    u = (y * y - 1) % P
    v = (_D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P != u:
        x = x * _ROOT % P
    if v * x * x % P != u or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


def _encoded(point: _Point) -> bytes:
    inverse = pow(point[2], -1, P)
    x = point[0] * inverse % P
    y = point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _add(p: _Point, q: _Point) -> _Point:
    """Section 5.1.4. It holds for any two points, for twice the same too."""
    a = (p[1] - p[0]) * (q[1] - q[0])
    b = (p[1] + p[0]) * (q[1] + q[0])
    c = 2 * p[3] * q[3] * _D % P
    d = 2 * p[2] * q[2]
    e = b - a
    f = d - c
    g = d + c
    h = b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _sum_of(m: int, p: _Point, n: int, q: _Point) -> _Point:
    """m p + n q, both bit by bit from the highest on."""
    both = _add(p, q)
    total = _ZERO
    for k in range(max(m.bit_length(), n.bit_length()) - 1, -1, -1):
        total = _add(total, total)
        if bits := (m >> k & 1) + 2 * (n >> k & 1):
            total = _add(total, (p, q, both)[bits - 1])
    return total


def _times(n: int, p: _Point) -> _Point:
    return _sum_of(n, p, 0, _ZERO)


_base = _decoded((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
assert _base is not None
_BASE = _base
