"""Bundles cut, altered and rewritten."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from edge_lstm_runtime import BundleError, read_bundle
from edge_lstm_runtime.digest import sha256
from helpers.specs import make_spec

SMALL = make_spec(channels=1, hidden=1, outputs=2)


def refused(path: Path, data: bytes, match: str | None = None) -> BundleError:
    path.write_bytes(data)
    with pytest.raises(BundleError, match=match) as caught:
        read_bundle(path)
    assert str(path) in str(caught.value)
    return caught.value


def packed(members: Mapping[str, bytes], *, method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip with the right checksum: what a clumsy or hostile writer would make."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
        archive.comment = b"0" * 64
    data = buffer.getvalue()[:-64]
    return data + hashlib.sha256(data).hexdigest().encode()


def unpacked(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(data: bytes, change: Callable[[dict[str, Any], dict[str, bytes]], Any]) -> bytes:
    """The bundle with its manifest and members changed, every checksum set right again."""
    members = unpacked(data)
    manifest = json.loads(members.pop("manifest.json"))
    result = change(manifest, members)
    if isinstance(manifest.get("members"), dict):
        for name, entry in manifest["members"].items():
            if name in members and isinstance(entry, dict):
                entry.update(bytes=len(members[name]), sha256=sha256(members[name]))
    return packed(
        {**members, "manifest.json": json.dumps(manifest if result is None else result).encode()}
    )
