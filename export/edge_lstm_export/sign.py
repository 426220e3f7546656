"""A bundle's signature, by OpenSSH's own ssh-keygen: agents, passphrases and tokens work with it.

No private key is read here. What ssh-keygen wrote is read back and verified before it is kept.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from edge_lstm_runtime.errors import BundleError, ConfigError, SignatureError
from edge_lstm_runtime.files import atomic_write, check_file_writable, failure
from edge_lstm_runtime.model.bundle import read_whole, unpack
from edge_lstm_runtime.trust.check import signature_of
from edge_lstm_runtime.trust.sshsig import NAMESPACE, Signature, read_signature

TOOL = "ssh-keygen"


def sign_bundle(
    path: str | os.PathLike[str],
    key: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
) -> Signature:
    """Write the signature of a bundle.

    key: an ed25519 key's private file, or its .pub file if an agent has the private one. out: the
    signature's file, NAME.edge.sig beside the bundle if it is None.
    Raises BundleError if the bundle is not whole or the signature can't be written, and ConfigError
    if there is no ssh-keygen, or it does not sign. The signature that was there is then unchanged.
    """
    if shutil.which(TOOL) is None:
        raise ConfigError(
            f"there is no {TOOL} here, which signs; install OpenSSH's client (Debian: "
            "openssh-client)"
        )
    file = signature_of(path) if out is None else Path(out)
    try:
        check_file_writable(file)
    except OSError as e:
        raise BundleError(f"can't write {file}: {e.strerror or e}") from e
    if not Path(key).is_file():
        raise ConfigError(
            f"{os.fspath(key)}: there is no such key; make one by `ssh-keygen -t ed25519`"
        )
    data = read_whole(path)
    unpack(data, os.fspath(path))  # nobody signs a bundle that is not whole
    written = _signed(data, Path(key))
    try:
        signature = read_signature(written, f"what {TOOL} made with {os.fspath(key)}")
    except SignatureError as e:
        raise ConfigError(str(e)) from e
    if not signature.fits(data):
        raise ConfigError(
            f"what {TOOL} made with {os.fspath(key)} does not fit the bundle; sign it again"
        )
    try:
        with atomic_write(file) as opened:
            opened.write(written)
    except OSError as e:
        raise BundleError(f"can't write {file}: {failure(e)}") from e
    return signature


def _signed(data: bytes, key: Path) -> bytes:
    """Raises ConfigError with the last line of what the tool said."""
    command = [TOOL, "-Y", "sign", "-f", str(key), "-n", NAMESPACE]
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        why = said[0] if said else f"exit code {done.returncode}"
        raise ConfigError(
            f"{TOOL} did not sign with {key}: {why}; expected an ed25519 key, or the .pub file of "
            "one that your agent has (ssh-add -l)"
        )
    return done.stdout
