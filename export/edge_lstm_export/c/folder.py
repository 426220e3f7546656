"""A folder that is either the old one or the new one, and that never removes a user's own files."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from edge_lstm_runtime import ConversionError
from edge_lstm_runtime.digest import sha256
from edge_lstm_runtime.files import NotSyncedError, check_folder_writable, failure, sync_folder

INFO = "model.json"  # the facts about the model, and the sha256 of every file
BUILD = "build"  # the folder's own builds; replaced with it


def check_replaceable(out: Path) -> None:
    """Raise ConversionError if something is at `out` that may not be replaced.

    It may be replaced if it is an empty folder, or an export of which no file was changed or added.
    """
    if not out.parent.is_dir():
        raise ConversionError(f"can't write {out}: the folder {out.parent} is not there")
    try:
        check_folder_writable(out.parent)
    except OSError as e:
        raise ConversionError(f"can't write {out}: {e.strerror or e}") from e
    if not os.path.lexists(out):
        return
    if out.is_symlink() or not out.is_dir():
        raise ConversionError(
            f"{out} is there and is no folder; the C export is a folder: choose another name for it"
        )
    if not any(out.iterdir()):
        return
    try:
        info = json.loads((out / INFO).read_bytes())
        listed = dict(info["files"])
        ours = str(info["made_by"]).startswith("edge-lstm ")
    except (OSError, ValueError, KeyError, TypeError):
        ours = False
    if not ours:
        raise ConversionError(
            f"{out} is there and is no C export of edge-lstm; "
            "choose another folder, or remove it yourself"
        )
    present = {
        path.relative_to(out).as_posix()
        for path in out.rglob("*")
        if not path.is_dir() or path.is_symlink()
    }
    present = {path for path in present if not path.startswith(f"{BUILD}/")}
    strange = sorted(present - {INFO, *listed})
    strange += sorted(
        path for path in present & set(listed) if sha256((out / path).read_bytes()) != listed[path]
    )
    if strange:
        shown = ", ".join(strange[:5]) + (", ..." if len(strange) > 5 else "")
        raise ConversionError(
            f"{out} has files that the export did not write, or that were changed since: {shown}; "
            "move them away, or choose another folder"
        )


def fill(folder: Path, contents: Mapping[str, bytes]) -> None:
    for path, content in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def write_folder(out: Path, contents: Mapping[str, bytes]) -> None:
    """Put a folder with these files in the place of `out`.

    Raises ConversionError. What was there before is then unchanged.
    """
    try:
        temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".tmp", dir=out.parent))
        try:
            new = temporary / "new"
            old = temporary / "old"
            fill(new, contents)
            _sync(new)
            check_replaceable(out)
            try:
                if out.exists():
                    out.rename(old)
                new.rename(out)
            except BaseException:
                if old.exists() and not out.exists():
                    _put_back(old, out)
                raise
        finally:
            if out.exists() or not old.exists():
                shutil.rmtree(temporary, ignore_errors=True)
        try:
            sync_folder(out.parent)
        except OSError as e:
            raise NotSyncedError(e.errno, e.strerror) from e
    except OSError as e:
        raise ConversionError(f"can't write {out}: {failure(e)}") from e


def _put_back(old: Path, out: Path) -> None:
    try:
        old.rename(out)
    except OSError as e:
        raise ConversionError(
            f"can't write {out}: {e.strerror or e}; what was there before is in {old}"
        ) from e


def _sync(folder: Path) -> None:
    """All of it reaches the disk."""
    for path in [*folder.rglob("*"), folder]:
        if path.is_dir():
            sync_folder(path)
        else:
            with path.open("rb") as file:
                os.fsync(file.fileno())
