"""Folders: kind E. Each file is read, refused, or told in a note. None is lost in silence."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

# The endings of the files, each with its source.
ENDINGS = {"csv": "csv", "CSV": "csv", "csv.gz": "csv", "parquet": "parquet", "wav": "wav"}


@dataclasses.dataclass(frozen=True)
class Folder:
    """files   below the folder. {} is the ending. Another file holds a line of text, or nothing if
            its name ends in "empty"
    reads   the names of the recordings, sorted, or words of the error
    note    words of the note on files that were left out, "" if there is none
    pattern of the names. It gives `labels` and `groups`
    not_in  the endings with which the case can't exist, and why
    """

    name: str
    files: Sequence[str]
    reads: Sequence[str] | str
    note: str = ""
    pattern: str = ""
    labels: Sequence[str] = ()
    groups: Sequence[str] = ()
    not_in: Mapping[str, str] = dataclasses.field(default_factory=dict)


CASES = [
    Folder("one file", ["a.{}"], ["a"]),
    Folder("three files", ["b.{}", "a.{}", "c.{}"], ["a", "b", "c"]),
    Folder("subfolders", ["a.{}", "x/a.{}", "x/y/z/b.{}"], ["a", "x/a", "x/y/z/b"]),
    Folder("subfolders alone", ["x/a.{}", "y/a.{}"], ["x/a", "y/a"]),
    Folder("names with spaces, points and other letters", ["a b.{}", "1.5 V.{}", "größe.{}"],
           ["1.5 V", "a b", "größe"]),
    Folder("names that begin alike", ["a.{}", "a.b.{}"], ["a", "a.b"]),
    Folder("other files", ["a.{}", "README.md", "x/notes.doc"], ["a"], "README.md"),
    Folder("a file without an ending", ["a.{}", "data"], ["a"], "data"),
    Folder("an ending in the middle", ["a.{}", "b.{}.bak"], ["a"], ".bak"),
    Folder("other files alone", ["README.md"], "README.md"),
    Folder("no file", [], "expected"),
    Folder("hidden files, as of macOS", ["a.{}", "._a.{}", ".DS_Store"], ["a"], "left out"),
    Folder("classes as subfolders", ["run/1.{}", "run/2.{}", "walk/1.{}"],
           ["run/1", "run/2", "walk/1"], pattern="(?P<label>[^/]+)/.*",
           labels=["run", "run", "walk"], groups=["run/1", "run/2", "walk/1"]),
    Folder("classes and groups in the names", ["run_anna_1.{}", "walk_anna_1.{}", "run_bo_2.{}"],
           ["run_anna_1", "run_bo_2", "walk_anna_1"],
           pattern=r"(?P<label>[a-z]+)_(?P<group>[a-z]+)_\d", labels=["run", "run", "walk"],
           groups=["anna", "bo", "anna"]),
    Folder("classes called like gaps", ["none/1.{}", "NA/1.{}", "null/1.{}"],
           ["NA/1", "none/1", "null/1"], pattern="(?P<label>[^/]+)/.*",
           labels=["NA", "none", "null"], groups=["NA/1", "none/1", "null/1"]),
    Folder("a name that the pattern doesn't match", ["run_1.{}", "2.{}"],
           "doesn't look like `pattern` in [data]", pattern=r"(?P<label>[a-z]+)_\d",
           labels=["run"]),
    Folder("an empty file", ["a.{}", "b-empty.{}"], ["a"], "b-empty",
           not_in={"wav": "see a sound of no samples", "csv.gz": "it is a packed nothing"}),
]  # fmt: skip
