"""Text with a separator, whatever its files end in."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Sequence

from edge_lstm_runtime.errors import DataError, SampleError
from edge_lstm_runtime.feeds.source import UNREADABLE
from edge_lstm_runtime.inputs.text import TextForm, open_text

from ...data.read_text import header_of
from ..columns import CELLS, Sample, columns_of
from ..draft import Key
from ..finding import Finding, Search
from ..place import PACKED, File
from ..tables import check_alike, empty, paths_of, table_finding
from ..written import written

SOURCE = "csv"
OWN = (".csv", ".csv.gz")  # a folder is read for them if nothing else is said
OTHERS = (".txt", ".tsv", ".dat", ".data", ".tab", ".asc", ".log", ".psv", "")
ENDINGS = (*OWN, *OTHERS, *(f"{ending}{PACKED}" for ending in OTHERS))
FILES = 400  # that are looked at


def find(search: Search) -> Finding | None:
    files = _files(search)
    if not files:
        return None
    how = written(files[0].path, sure=files[0].ending in OWN)
    if how is None:
        if files[0].ending in OWN:
            whole = "expected rows with the same number of cells"
            raise DataError(f"{files[0].path}: no separator cuts it into columns; {whole}")
        return None
    looked_at = files[:: -(-len(files) // FILES)]
    names = {file.path: header_of(file.path, how.form) for file in looked_at}
    alike, dropped = check_alike(names)
    kept = [name for name in alike if name]
    if not kept:
        raise DataError(f"{files[0].path}: the columns have no names; expected a header")
    cells = CELLS // (len(kept) * len(looked_at)) + 50
    samples = [_sample(file, how.form, names[file.path], kept, cells) for file in looked_at]
    columns = columns_of(samples, how.form)
    keys = dict(how.keys)
    paths = paths_of(search, files)
    if paths.folders and files[0].ending not in OWN:
        keys["ending"] = Key(files[0].ending.removesuffix(PACKED), "the files that are read")
    found = table_finding(search, paths, keys, columns, samples, dropped)
    rank = 2 if files[0].ending not in ("", ".log") else 1
    return dataclasses.replace(found, source=SOURCE, rank=rank)


def _files(search: Search) -> list[File]:
    """Of the ending that most tables have."""
    able = search.place.of(ENDINGS)
    if not search.place.whole:
        return able or ([search.place.files[0]] if _is_table(search.place.files[0]) else [])
    kinds: dict[str, list[File]] = collections.defaultdict(list)
    for file in able:
        kinds[file.ending.removesuffix(PACKED)].append(file)
    for ending in sorted(kinds, key=lambda e: (e not in OWN, -len(kinds[e]))):
        files = kinds[ending]
        if ending in OWN or all(map(_is_table, files[:5])):
            return files
    return []


def _is_table(file: File) -> bool:
    try:
        return written(file.path) is not None
    except DataError:
        return False


def _sample(
    file: File, form: TextForm, names: Sequence[str], kept: Sequence[str], most: int
) -> Sample:
    """The first rows of a file. Raises DataError if there are none."""
    places = [list(names).index(name) for name in kept]
    rows: list[list[str]] = []
    header = not form.columns
    try:
        with open_text(file.path, form) as lines:
            for line in itertools.islice(lines, form.skip_rows, None):
                if form.is_comment(line) or (not line.strip() and len(names) > 1):
                    continue
                if header:
                    header = False
                    continue
                try:
                    rows.append(form.fitted(form.cells(line), len(names)))
                except SampleError:
                    continue  # reading all of the file tells it with its line
                if len(rows) >= most:
                    break
    except (*UNREADABLE, UnicodeDecodeError) as e:
        raise DataError(f"{file.path}: can't be read: {e}; expected a text file") from e
    if not rows:
        raise empty(file.path)
    cells = {name: [row[k] for row in rows] for name, k in zip(kept, places, strict=True)}
    return Sample(file.path, file.name, cells)
