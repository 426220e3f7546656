"""A signature file of `ssh-keygen -Y sign`: OpenSSH's PROTOCOL.sshsig, version 1."""

from __future__ import annotations

import base64
import dataclasses
import hashlib

from ..errors import SignatureError
from . import ed25519

NAMESPACE = "edge-lstm-bundle"  # what is signed: a signature for mail or git does not count
KEY_TYPE = "ssh-ed25519"
MAX_BYTES = 1 << 16  # of a signature's file, which has about 300
_MAGIC = b"SSHSIG"
_BEGIN = b"-----BEGIN SSH SIGNATURE-----"
_END = b"-----END SSH SIGNATURE-----"
_HASHES = {"sha256": hashlib.sha256, "sha512": hashlib.sha512}


@dataclasses.dataclass(frozen=True)
class Signature:
    """key: 32 bytes. signature: 64 bytes. hash_name: of the message, "sha256" or "sha512"."""

    key: bytes
    namespace: str
    hash_name: str
    signature: bytes

    def fits(self, message: bytes) -> bool:
        """Whether the key's owner signed these bytes, for this namespace."""
        digest = _HASHES[self.hash_name](message).digest()
        fields = _joined(self.namespace.encode(), b"", self.hash_name.encode(), digest)
        return ed25519.verify(self.key, _MAGIC + fields, self.signature)


class Fields:
    """The fields of SSH's binary format, one after the other. Each raises ValueError."""

    def __init__(self, data: bytes):
        self._rest = data

    def take(self, count: int) -> bytes:
        if count > len(self._rest):
            raise ValueError("it is cut off")
        taken = self._rest[:count]
        self._rest = self._rest[count:]
        return taken

    def number(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def string(self) -> bytes:
        return self.take(self.number())

    def text(self) -> str:
        return self.string().decode("ascii")

    def end(self) -> None:
        if self._rest:
            raise ValueError("there is something after its end")


def key_of(blob: bytes) -> bytes:
    """The 32 bytes of a public key. Raises ValueError, and TypeError for another type of key."""
    fields = Fields(blob)
    if (kind := fields.text()) != KEY_TYPE:
        raise TypeError(kind)
    key = fields.string()
    fields.end()
    if len(key) != 32:
        raise ValueError(f"its key has {len(key)} bytes, expected 32")
    return key


def public_line(key: bytes) -> str:
    """As a .pub file and allowed_signers have it."""
    return f"{KEY_TYPE} {base64.b64encode(_blob(key)).decode()}"


def fingerprint(key: bytes) -> str:
    """As `ssh-keygen -l` shows it."""
    digest = base64.b64encode(hashlib.sha256(_blob(key)).digest()).decode()
    return f"SHA256:{digest.rstrip('=')}"


def _blob(key: bytes) -> bytes:
    return _joined(KEY_TYPE.encode(), key)


def _joined(*parts: bytes) -> bytes:
    """SSH's binary format: each field with its length."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def read_signature(data: bytes, name: str) -> Signature:
    """A signature file's content. name: of the file, for the message. Raises SignatureError."""
    try:
        return _read(data)
    except TypeError as e:
        raise SignatureError(
            f"{name} is by a key of type {str(e)!r}, and {KEY_TYPE} alone is supported here; "
            "sign with such a key (ssh-keygen -t ed25519)"
        ) from e
    except ValueError as e:  # UnicodeDecodeError and binascii.Error too
        raise SignatureError(
            f"{name} is no whole signature: {_why(e)}; sign the bundle again (edge-lstm sign)"
        ) from e


def _read(data: bytes) -> Signature:
    first, *lines = data.strip().replace(b"\r\n", b"\n").split(b"\n")
    if first != _BEGIN or not lines or lines.pop() != _END:
        raise ValueError(f"expected {_BEGIN.decode()} and {_END.decode()}")
    fields = Fields(base64.b64decode(b"".join(lines), validate=True))
    if fields.take(len(_MAGIC)) != _MAGIC:
        raise ValueError("it does not begin with SSHSIG")
    if (version := fields.number()) != 1:
        raise ValueError(f"its version is {version}, expected 1")
    key = key_of(fields.string())
    namespace = fields.text()
    fields.string()  # reserved: the format says to ignore it
    hash_name = fields.text()
    inside = Fields(fields.string())
    fields.end()
    if hash_name not in _HASHES:
        raise ValueError(f"its hash is {hash_name!r}, expected {' or '.join(_HASHES)}")
    if (kind := inside.text()) != KEY_TYPE:
        raise ValueError(f"its signature is of type {kind!r}, expected {KEY_TYPE!r} as its key")
    signature = inside.string()
    inside.end()
    if len(signature) != 64:
        raise ValueError(f"its signature has {len(signature)} bytes, expected 64")
    return Signature(key, namespace, hash_name, signature)


def _why(error: ValueError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "a name in it is not ASCII"
    return f"{error}"
