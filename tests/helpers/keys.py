"""Keys and signatures by OpenSSH's own ssh-keygen."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

NAMESPACE = "edge-lstm-bundle"
needs_openssh = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="there is no ssh-keygen here (openssh-client)"
)


def make_key(path: Path, kind: str = "ed25519", passphrase: str = "") -> str:
    """The key `path` and path.pub -> the content of the latter, without its comment."""
    bits = ("-b", "2048") if kind == "rsa" else ()
    command = ["ssh-keygen", "-q", "-t", kind, *bits, "-N", passphrase, "-C", "", "-f", str(path)]
    subprocess.run(command, check=True)
    return " ".join(path.with_name(f"{path.name}.pub").read_text().split()[:2])


def sign(file: Path, key: Path, namespace: str = NAMESPACE, hash_name: str = "sha512") -> Path:
    """The signature of a file -> its path, file.sig."""
    command = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(key), "-n", namespace]
    signature = file.with_name(f"{file.name}.sig")
    signature.unlink(missing_ok=True)
    subprocess.run(
        [*command, "-O", f"hashalg={hash_name}", str(file)], check=True, capture_output=True
    )
    return signature


def openssh_takes(
    message: bytes, signature: Path, signers: Path, name: str, at: str = "", **environ: str
) -> bool:
    """Whether `ssh-keygen -Y verify` takes it. at: the time of its judgement, YYYYMMDDHHMMSSZ."""
    options = ["-O", f"verify-time={at}"] if at else []
    command = ["ssh-keygen", "-Y", "verify", "-f", str(signers), "-I", name, "-n", NAMESPACE]
    done = subprocess.run(
        [*command, *options, "-s", str(signature)],
        input=message,
        capture_output=True,
        env=environ or None,
        check=False,
    )
    return done.returncode == 0
