"""Columns of labels: kind F. The file is read by training alone; a board answers the labels."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

SOURCES = {"comma": "csv", "german": "csv", "tab": "csv", "parquet": "parquet", "npz": "npz"}
KEYS = {"german": {"separator": ";", "decimal": ","}, "tab": {"separator": "\t"}}
ARRAYS = dict.fromkeys(("comma", "german", "tab"), "text has no types")


@dataclasses.dataclass(frozen=True)
class Labelled:
    """labels  of the rows, None for an empty cell
    read    the labels that training reads, or words of its error
    but     others in some formats
    not_in  the formats in which the case can't exist, and why
    array   in place of `labels`, for npz and Parquet
    channels  besides the label
    keys    further keys of [data]
    """

    name: str
    labels: Sequence[str | None]
    read: Sequence[str] | str
    but: Mapping[str, Sequence[str] | str] = dataclasses.field(default_factory=dict)
    not_in: Mapping[str, str] = dataclasses.field(default_factory=dict)
    array: Any = None
    channels: tuple[str, ...] = ("a", "b")
    keys: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def content(self, form: str) -> bytes:
        a = [float(k) for k in range(len(self.labels))]
        b = [1 / (k + 1) for k in a]
        file = io.BytesIO()
        if form == "npz":
            y = np.array(["" if label is None else label for label in self.labels])
            x = np.stack([a, b], axis=1)[None]
            np.savez(file, x=x, y=(y if self.array is None else self.array)[None])
        elif form == "parquet":
            y = pl.Series(self.labels, dtype=pl.String) if self.array is None else self.array
            pl.DataFrame({"a": a, "b": b, "y": y}).write_parquet(file)
        else:
            separator = KEYS.get(form, {}).get("separator", ",")
            rows = [["a", "b", "y"]]
            for n, m, label in zip(a, b, self.labels, strict=True):
                cell = label or ""
                if separator in cell or '"' in cell:
                    cell = '"' + cell.replace('"', '""') + '"'
                numbers = [f"{n}", f"{m}"]
                if form == "german":
                    numbers = [number.replace(".", ",") for number in numbers]
                rows.append([*numbers, cell])
            file.write("".join(separator.join(row) + "\n" for row in rows).encode())
        return file.getvalue()


def _two(name: str, label: str, read: str | None = None, **options: Any) -> Labelled:
    """A class beside a plain one."""
    read = label if read is None else read
    return Labelled(name, [label, label, "walk", "walk"], [read, read, "walk", "walk"], **options)


EMPTY = "label column 'y', row 2: there is no label"
OF_ARRAY = "the class is ''; expected one for every sequence"
CASES = [
    *(_two(f"the class {name}", name) for name in
      ("none", "None", "null", "NULL", "NA", "na", "N/A", "nan", "NaN", "-", "?", "#N/A", "missing",
       "true", "False", "0", "1", "007", "1.0", "1e3", "-1", "inf", "0x10", "Größe", "走る", "a b",
       "a,b", "a;b", "a'b", 'a"b', "{", "[1]", "#walk", "%s", "Walk", "WALK", "walk2", ".", "/")),
    _two("spaces around a class", "  run ", "run"),
    Labelled("a class with and without spaces", ["run", " run", "walk", "walk\t "],
             ["run", "run", "walk", "walk"], not_in={"tab": "a tab is its separator"}),
    _two("a long class", "x" * 300),
    Labelled("an empty cell", ["run", None, "walk", "walk"], EMPTY, {"npz": OF_ARRAY}),
    Labelled("a cell of spaces", ["run", "  ", "walk", "walk"], EMPTY, {"npz": OF_ARRAY}),
    Labelled("no label at all", [None, None, None, None], EMPTY.replace("row 2", "row 1"),
             {"npz": OF_ARRAY}),
    Labelled("a word that was declared missing", ["run", "fehlt", "walk", "walk"],
             ["run", "fehlt", "walk", "walk"], keys={"missing_values": ["fehlt"]},
             not_in={"npz": "it declares no words"}),
    Labelled("the label among the channels", ["0", "0", "1", "1"],
             "has 'y', the `label`, which a board won't have",
             not_in={"npz": "its labels are no channel"}, channels=("a", "y")),
    Labelled("bytes", ["run", "run", "walk", "walk"], ["run", "run", "walk", "walk"],
             not_in={**ARRAYS, "parquet": "its bytes are no text"},
             array=np.array([b"run", b"run", b"walk", b"walk"])),
    Labelled("bytes of UTF-8", ["é", "é", "e", "e"], ["é", "é", "e", "e"],
             not_in={**ARRAYS, "parquet": "its bytes are no text"},
             array=np.array([n.encode() for n in "ééee"])),
    Labelled("bytes that are no UTF-8", ["", "", "", ""], "is no UTF-8",
             not_in={**ARRAYS, "parquet": "its bytes are no text"},
             array=np.array([b"\xff", b"\xfe", b"\xff", b"\xfe"])),
    *(
        Labelled(f"numbers of {kind.__name__}", ["0", "0", "1", "1"], ["0", "0", "1", "1"],
                 not_in=ARRAYS, array=np.array([0, 0, 1, 1], kind))
        for kind in (np.uint8, np.int32, np.int64)
    ),
    *(
        Labelled(f"NaN of {kind.__name__}", ["0", "", "1", "1"], OF_ARRAY,
                 not_in={**ARRAYS, "parquet": "see an empty cell"},
                 array=np.array([0, np.nan, 1, 1], kind))
        for kind in (np.float16, np.float32, np.float64)
    ),
    Labelled("NaN in a column of Parquet", ["0", "", "1", "1"], EMPTY,
             not_in={**ARRAYS, "npz": "see NaN of float64"},
             array=pl.Series([0.0, float("nan"), 1.0, 1.0])),
    Labelled("truths", ["0", "0", "1", "1"], ["False", "False", "True", "True"],
             {"parquet": ["false", "false", "true", "true"]}, not_in=ARRAYS,
             array=np.array([False, False, True, True])),
    Labelled("categories", ["run", "run", "walk", "walk"], ["run", "run", "walk", "walk"],
             not_in={**ARRAYS, "npz": "it has none"},
             array=pl.Series(["run", "run", "walk", "walk"], dtype=pl.Categorical)),
]  # fmt: skip
