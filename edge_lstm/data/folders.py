"""The files of a folder and of its subfolders, and what their names say."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from edge_lstm_runtime.errors import DataError


class Files(NamedTuple):
    """found: by path, each with its name: the path below the folder, without the ending and with /.

    note: the files that were left out, in a sentence, "" if there are none.
    """

    found: list[tuple[Path, str]]
    note: str


def files_in(folder: Path, endings: tuple[str, ...]) -> Files:
    """The files of these endings, in any case. Hidden and empty ones are left out.

    endings: such as ".txt", a longer one before its own end. Links to folders are followed, but no
    folder is read twice. Raises DataError if there is no file, or if two have the same name.
    """
    found: dict[str, Path] = {}
    others: dict[str, list[str]] = {}  # by the reason
    for path in inside(folder, set()):
        place = path.relative_to(folder).as_posix()
        ending = next((e for e in endings if place.lower().endswith(e)), "")
        if reason := _reason(path, ending):
            others.setdefault(reason, []).append(place)
            continue
        name = place[: -len(ending)]
        if name in found:
            raise DataError(
                f"{folder}: {found[name].name!r} and {path.name!r} would have the same name "
                f"{name!r}; expected one of them; rename or remove the other"
            )
        found[name] = path
    note = _note(folder, others)
    if not found:
        there = f" ({note.removeprefix(f'{folder}: ')})" if note else ""
        expected = "expected one per recording"
        raise DataError(f"{folder}: the folder has no *{endings[-1]} file; {expected}{there}")
    return Files([(path, name) for name, path in found.items()], note)


def stem(path: Path) -> str:
    """The name of a file that stands alone: without its ending and without .gz."""
    return Path(path.stem).stem if path.suffix.lower() == ".gz" else path.stem


def parts_of(pattern: str | None, name: str, path: Path) -> Mapping[str, str | None]:
    """The named parts of a file's name, {} without a pattern.

    Raises DataError if it doesn't match: no data is lost unseen.
    """
    if pattern is None:
        return {}
    match = re.fullmatch(pattern, name)
    if match is None:
        other = f"the name {name!r} doesn't look like `pattern` in [data], {pattern!r}"
        raise DataError(f"{path}: {other}; correct it, or move the file away")
    return match.groupdict()


def named_parts(pattern: str | None) -> tuple[Collection[str], str]:
    """The names of a pattern's parts, and what is wrong with it, "" if nothing is."""
    try:
        return re.compile(pattern or "").groupindex, ""
    except re.error as e:
        return (), f"is no regular expression: {e}"


def inside(folder: Path, seen: set[Path] | None = None) -> Iterator[Path]:
    """All files, and hidden folders as they are. seen: the folders that were read."""
    seen = set() if seen is None else seen
    real = folder.resolve()
    if real in seen:
        return
    seen.add(real)
    try:
        entries = sorted(folder.iterdir())
    except OSError as e:
        raise DataError(f"{folder}: the folder can't be read: {e.strerror}") from e
    for path in entries:
        if path.is_dir() and not path.name.startswith("."):
            yield from inside(path, seen)
        else:
            yield path


def _reason(path: Path, ending: str) -> str:
    """Why a file is left out, "" if it is not."""
    if path.name.startswith("."):
        return "hidden"
    if not ending:
        return "of another ending"
    if path.exists() and not path.is_file():
        return "no file"  # a device. One that is not there is told by its reader
    return "empty" if path.exists() and not path.stat().st_size else ""


def _note(folder: Path, others: Mapping[str, list[str]]) -> str:
    if not others:
        return ""
    count = sum(map(len, others.values()))
    listed = ", ".join(f"{len(each)} {reason} ({each[0]!r})" for reason, each in others.items())
    files = "1 file was" if count == 1 else f"{count:,} files were"
    return f"{folder}: {files} left out: {listed}"
