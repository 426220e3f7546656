"""What a table holds, or a folder of tables, whatever file they are in."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from edge_lstm_runtime.errors import ConfigError, DataError

from .clock import Clock, find_clock, usual_step
from .columns import Column, Sample
from .draft import Key, Keys
from .finding import Finding, Search
from .names import Named, by_pattern, named, parts
from .place import File
from .roles import Roles, Stated, find_roles, increases

MORE = 5  # names of columns in a line, before it says how many more there are


@dataclasses.dataclass(frozen=True)
class Paths:
    """keys: of [data]. names: of the files, as `pattern` sees them. folders: whether the keys name
    folders."""

    keys: Keys
    names: tuple[str, ...]
    folders: bool = False


def paths_of(search: Search, files: Sequence[File]) -> Paths:
    """A file, a folder, or those for training and those for the test."""
    place = search.place
    if len(files) == 1:
        return Paths({"path": Key(place.shown(files[0].path))}, (_stem(files[0]),))
    told = parts([file.name for file in files])
    if told:
        return _given(search, files, told)
    if place.whole:
        return Paths({"path": Key(place.shown(place.path))}, tuple(f.name for f in files), True)
    return Paths({"path": Key([place.shown(f.path) for f in files])}, tuple(map(_stem, files)))


def _given(search: Search, files: Sequence[File], told: Mapping[str, str]) -> Paths:
    """By folders that are for one part each, or by files."""
    place = search.place
    tops = {file.name.split("/")[0]: told[file.name] for file in files if "/" in file.name}
    of_folders = all("/" in f.name and told[f.name] == tops[f.name.split("/")[0]] for f in files)
    keys = {}
    for part in ("train", "test"):
        if of_folders:
            found = [place.shown(place.path / top) for top, of in tops.items() if of == part]
        else:
            found = [place.shown(file.path) for file in files if told[file.name] == part]
        why = "the names of files say what is for the test" if part == "test" else ""
        keys[f"{part}_path"] = Key(found[0] if len(found) == 1 else found, why)
    below = [f.name.partition("/")[2] if of_folders else _stem(f) for f in files]
    return Paths(keys, tuple(below), of_folders)


def _stem(file: File) -> str:
    return file.name.split("/")[-1]


def table_finding(
    search: Search,
    paths: Paths,
    written: Keys,
    columns: Mapping[str, Column],
    samples: Sequence[Sample],
    dropped: Mapping[str, str],
) -> Finding:
    """The keys of [data] for tables. written: those that say how the files are written.

    samples: of `columns`. dropped: columns that are in none of these, with the reasons.
    Raises DataError if there is nothing to learn from.
    """
    stated = search.stated
    borders = np.cumsum([0, *(_rows(s) for s in samples[:-1])]).tolist()
    clock = find_clock(columns, stated.time, borders)
    files = _named(paths, stated)
    roles = find_roles(columns, clock, borders, stated)
    if roles.label is not None and stated.pattern is None:
        files = None  # a column of classes is the surer sign
    if files is not None:
        label = "none" if files.labels else stated.label
        group = "none" if files.groups else stated.group
        others = dataclasses.replace(stated, label=label, group=group)
        roles = find_roles(columns, clock, borders, others)
    roles = dataclasses.replace(roles, left_out={**roles.left_out, **dropped})
    if not roles.channels and not roles.target:
        reasons = {name: roles.left_out.get(name, "") for name in (*columns, *dropped)}
        told = [f"{name!r} ({why})" if why else repr(name) for name, why in reasons.items()]
        names = ", ".join(told[:20])
        raise DataError(f"{search.place.path}: no column has numbers to learn from: {names}")
    target = None
    channels = roles.channels
    if roles.target is not None:
        target = roles.target
        channels = tuple(c for c in channels if c != target[0])
    keys: dict[str, Key] = {**paths.keys, **written}
    if files is not None:
        keys["pattern"] = files.pattern
    keys |= _times(clock, roles, columns, borders)
    keys["channels"] = Key(list(channels))
    keys |= _columns_of(roles)
    keys |= _missing([columns[c] for c in (*channels, *([target[0]] if target else []))])
    return Finding(
        "",
        keys,
        len(paths.names),
        2,
        tuple(_left_out(roles)),
        target=target,
        known=tuple(c for c in roles.known if c in channels),
        step=usual_step(clock.seconds, borders) if clock else None,
        dated=bool(clock and clock.dated),
    )


def _rows(sample: Sample) -> int:
    return len(next(iter(sample.cells.values()), ()))


def _named(paths: Paths, stated: Stated) -> Named | None:
    if stated.pattern is not None:
        found = by_pattern(stated.pattern, paths.names, "as you said")
        if found is None:
            odd = next(n for n in paths.names if by_pattern(stated.pattern, [n], "") is None)
            raise ConfigError(f"--pattern {stated.pattern}: the file {odd!r} doesn't match it")
        return found
    return None if stated.label == "none" else named(paths.names)


def _times(
    clock: Clock | None, roles: Roles, columns: Mapping[str, Column], borders: Sequence[int]
) -> dict[str, Key]:
    if clock is None:
        return {}
    group = columns[roles.group[0]].texts if roles.group else None
    if increases(clock.seconds, borders, group):
        return dict(clock.keys)
    keep = "some times are no later than the row before: the rows stay in their order"
    return {**clock.keys, "time_back": Key("keep", keep)}


def _columns_of(roles: Roles) -> Iterator[tuple[str, Key]]:
    for key, found in (("label", roles.label), ("group", roles.group)):
        if found is not None:
            yield key, Key(*found)


def _missing(columns: Sequence[Column]) -> dict[str, Key]:
    keys: dict[str, Key] = {}
    words: dict[str | float, str] = {w: c.name for c in columns for w in c.words}
    if words:
        where = ", ".join(dict.fromkeys(words.values()))
        keys["missing_values"] = Key(list(words), f"in {where}")
    gaps = {
        c.name: int(np.isnan(c.values).sum())
        for c in columns
        if c.values is not None and np.isnan(c.values).any()
    }
    if gaps:
        most = sorted(gaps, key=lambda name: -gaps[name])
        said = [f"{gaps[name]:,} of {name}" for name in most[:3]]
        more = f" and others ({len(gaps)} columns)" if len(gaps) > 3 else ""
        keys["missing"] = Key("ffill", f"missing values: {', '.join(said)}{more}")
    return keys


def _left_out(roles: Roles) -> Iterator[str]:
    """A line for each reason."""
    reasons: dict[str, list[str]] = {}
    for name, reason in roles.left_out.items():
        reasons.setdefault(reason, []).append(name or "(no name)")
    for reason, names in reasons.items():
        more = f" and {len(names) - MORE} more" if len(names) > MORE else ""
        yield f"Left out: {', '.join(names[:MORE])}{more} ({reason})."


def empty(path: Path) -> DataError:
    return DataError(f"{path}: the file has no rows; expected a header and rows of samples")


def check_alike(names: Mapping[Path, Sequence[str]]) -> tuple[list[str], dict[str, str]]:
    """The columns that all files have, in the order of the first; the others, with the reasons.

    Raises DataError if there is none.
    """
    first, *others = names
    common = [n for n in names[first] if all(n in names[other] for other in others)]
    twice = [n for n in common if any(list(each).count(n) > 1 for each in names.values())]
    kept = [n for n in dict.fromkeys(common) if n not in twice]
    if not kept:
        odd = next((p for p in others if not set(names[p]) & set(names[first])), first)
        wrong = f"has none of the columns of {first.name} ({', '.join(list(names[first])[:6])})"
        if odd == first:
            wrong = f"has each of its columns twice ({', '.join(list(names[first])[:6])})"
        raise DataError(f"{odd}: {wrong}; expected tables with the same columns")
    every = dict.fromkeys(name for each in names.values() for name in each if name)
    reasons = {n: "is there twice" if n in twice else "not in every file" for n in every}
    return kept, {n: why for n, why in reasons.items() if n not in kept}
