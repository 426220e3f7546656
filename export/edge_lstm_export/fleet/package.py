"""What is sent to a board: the bundle and its signature in a tar, checked here first."""

from __future__ import annotations

import dataclasses
import io
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

from edge_lstm_runtime.digest import sha256
from edge_lstm_runtime.errors import BundleError, SignatureError
from edge_lstm_runtime.model.bundle import read_whole, unpack
from edge_lstm_runtime.shown import in_a_line, is_plain
from edge_lstm_runtime.trust.check import signature_of
from edge_lstm_runtime.trust.sshsig import MAX_BYTES, read_signature

from .hosts import Host

ENDING = ".edge"


@dataclasses.dataclass(frozen=True)
class Package:
    """file: the bundle's name on the board. digest: its sha256. data: the tar.

    name, version: of the model, "" and None if the export gave none. signed: whether a signature is
    in it.
    """

    file: str
    name: str
    version: int | None
    digest: str
    signed: bool
    data: bytes = dataclasses.field(repr=False)

    def __str__(self) -> str:
        model = f"{self.name} " if self.name else ""
        version = "" if self.version is None else f"version {self.version}, "
        return in_a_line(f"{model}{version}sha256 {self.digest[:12]}")


def read_package(path: Path, hosts: Sequence[Host]) -> Package:
    """Raises BundleError if the bundle is not whole, and SignatureError if its signature is of
    other bytes, or missing and a host wants one."""
    data = read_whole(path)
    file = path.name
    if not file.endswith(ENDING) or file.startswith(("-", ".")) or not is_plain(file):
        raise BundleError(
            f"{path}: a bundle that goes to a board is called NAME{ENDING}; rename the file"
        )
    bundle = unpack(data, os.fspath(path))
    members = {file: data}
    signature = signature_of(path)
    if signature.exists():
        members[signature.name] = _signature(signature, data)
    elif wanting := next((host for host in hosts if host.trusted is not None), None):
        raise SignatureError(
            f"{wanting.name} takes no bundle without a signature (trusted = {wanting.trusted!r}), "
            f"and {signature} is not there; make it by `edge-lstm sign`"
        )
    return Package(
        file, bundle.name, bundle.version, sha256(data), len(members) == 2, tar_of(members)
    )


def _signature(file: Path, data: bytes) -> bytes:
    """Whether its key is trusted is the board's question."""
    try:
        with file.open("rb") as opened:
            written = opened.read(MAX_BYTES + 1)
    except OSError as e:
        raise SignatureError(f"can't read the signature {file}: {e.strerror}") from e
    if not read_signature(written, str(file)).fits(data):
        raise SignatureError(
            f"{file} is the signature of another bundle, or was altered; sign the bundle again "
            "(edge-lstm sign)"
        )
    return written


def tar_of(members: dict[str, bytes]) -> bytes:
    """Without dates and owners: the same bytes each time."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()
