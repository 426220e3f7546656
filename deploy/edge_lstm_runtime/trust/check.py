"""A bundle's signature, NAME.edge.sig, by a key that is trusted.

The same bytes are verified and loaded. An expiry is judged by this machine's clock, at present: the
time in a signature would be its maker's word. If a key has an expiry, and the clock is before the
bundle's own date, the clock is wrong for certain, and the bundle is refused.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ConfigError, SignatureError
from . import sshsig
from .signers import Signer, read_signers, stamp

MAX_SIGNERS = 1 << 20  # bytes of an allowed_signers file
PathLike = str | os.PathLike[str]


def signature_of(bundle: PathLike) -> Path:
    """The file with a bundle's signature."""
    return Path(f"{os.fspath(bundle)}.sig")


def check_signature(data: bytes, path: PathLike, trusted: PathLike) -> Signer:
    """data: of the bundle at `path`. trusted: an allowed_signers file -> who signed the bundle.

    Raises ConfigError for the file of trusted keys, and SignatureError for a signature that is
    missing, damaged, of other bytes, or by a key that is not trusted or not now.
    """
    name = os.fspath(trusted)
    signers = read_signers(_read_signers(trusted), name)
    file = signature_of(path)
    found = sshsig.read_signature(signature_in(file), str(file))
    if found.namespace != sshsig.NAMESPACE:
        raise SignatureError(
            f"{file} is a signature for {found.namespace!r}, expected {sshsig.NAMESPACE!r}; "
            "sign the bundle by `edge-lstm sign`"
        )
    by = f"the key {sshsig.fingerprint(found.key)}"
    lines = [signer for signer in signers if signer.key == found.key]
    if not lines:
        raise SignatureError(
            f"{os.fspath(path)} is signed by {by}, which is not in {name}; sign it with a key that "
            "is, or add this one if you trust its owner"
        )
    if not found.fits(data):
        raise SignatureError(
            f"{os.fspath(path)} is not what {lines[0]} signed: the bundle or {file} was altered "
            "or replaced; copy both again"
        )
    now = time.time()
    refusals = [(signer, signer.refusal(now)) for signer in lines]
    for signer, refusal in refusals:
        if not refusal:
            return signer
    signer, refusal = refusals[0]
    raise SignatureError(
        f"{os.fspath(path)} is signed by {signer}, whose key does not count by {name}, line "
        f"{signer.line}: {refusal}; sign with another key, or change the line"
    )


def check_clock(signer: Signer, provenance: Mapping[str, Any], path: PathLike) -> None:
    """Raises SignatureError if the key has an expiry, and the clock is before the bundle's date."""
    date = provenance.get("trained")
    if not signer.limited or date is None:
        return
    today = stamp(time.time() + 86400)[:10]  # a day of grace for zones
    if today < date[:10]:
        raise SignatureError(
            f"{os.fspath(path)} was trained on {date}, and the clock of this machine says "
            f"{stamp(time.time())}: the expiry of {signer.principals}'s key can't be judged; set "
            "the clock"
        )


def _read_signers(file: PathLike) -> str:
    try:
        with Path(file).open("rb") as opened:
            data = opened.read(MAX_SIGNERS + 1)
    except (OSError, ValueError) as e:
        raise ConfigError(
            f"can't read {os.fspath(file)}: {getattr(e, 'strerror', e)}; expected a file of "
            "trusted keys, as OpenSSH's allowed_signers"
        ) from e
    if len(data) > MAX_SIGNERS:
        raise ConfigError(
            f"{os.fspath(file)} has more than {MAX_SIGNERS} bytes; expected a file of trusted "
            "keys, as OpenSSH's allowed_signers"
        )
    return data.decode("utf-8", errors="replace")


def signature_in(file: Path) -> bytes:
    """The bytes of a signature's file. Raises SignatureError."""
    try:
        with file.open("rb") as opened:
            data = opened.read(sshsig.MAX_BYTES + 1)
    except (OSError, ValueError) as e:
        raise SignatureError(
            f"can't read the signature {file}: {getattr(e, 'strerror', e)}; copy it beside the "
            "bundle, or make it by `edge-lstm sign`"
        ) from e
    if len(data) > sshsig.MAX_BYTES:
        raise SignatureError(
            f"{file} has more than {sshsig.MAX_BYTES} bytes, so it is no signature; sign the "
            "bundle again (edge-lstm sign)"
        )
    return data
