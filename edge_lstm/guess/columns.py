"""The columns of tables, as far as some of their rows tell: numbers, text, words for a gap."""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from edge_lstm_runtime.inputs.text import BLANKS, TextForm

from ..data.doubts import wild
from ..data.recordings import Float64

CELLS = 2_000_000  # that are looked at, in all files together
NUMBERS = 0.9  # of the cells, in a column of numbers with words for missing values
WORDS = 3  # such words in a column
_CODE = re.compile(r"-?9{2,6}(\.9{1,2}|\.0*)?|-200(\.0*)?|-1e30")  # a sensor's number for a gap


@dataclasses.dataclass(frozen=True)
class Sample:
    """Some rows of a file. cells: of each column, as they are written."""

    path: Path
    name: str
    cells: Mapping[str, Sequence[str]]


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of all samples together.

    texts   (R,) as they are written
    values  (R,) of a column of numbers, NaN if missing; else None
    words   those that stand for a missing value, besides the usual ones
    """

    name: str
    texts: Sequence[str]
    values: Float64 | None
    words: tuple[str | float, ...] = ()

    @property
    def blank(self) -> bool:
        return self.values is not None and bool(np.isnan(self.values).all())

    @property
    def distinct(self) -> list[str]:
        """The values, without the empty one, in the order in which they come."""
        return [text for text in dict.fromkeys(self.texts) if text]

    @property
    def whole(self) -> bool:
        """Whether all are whole numbers."""
        if self.values is None or self.blank:
            return False
        known = self.values[~np.isnan(self.values)]
        return bool((known == np.round(known)).all())

    @property
    def counts_rows(self) -> bool:
        """Whether it counts the rows, from any number on, and here and there anew."""
        return (
            self.whole
            and self.values is not None
            and len(self.values) > 2
            and bool((np.diff(self.values) == 1).mean() > 0.95)
        )


def columns_of(samples: Sequence[Sample], form: TextForm) -> dict[str, Column]:
    """The columns that all samples have."""
    names = [n for n in samples[0].cells if all(n in sample.cells for sample in samples)]
    return {
        name: _column(name, [c for s in samples for c in s.cells[name]], form) for name in names
    }


def _column(name: str, texts: Sequence[str], form: TextForm) -> Column:
    values = np.full(len(texts), np.nan)
    known: dict[str, float | None] = {}
    for k, text in enumerate(texts):
        if text not in known:
            known[text] = _number(text, form)
        value = known[text]
        values[k] = np.nan if value is None else value
    words = [text for text, value in known.items() if value is None]
    counts = collections.Counter(texts)
    filled = sum(n for text, n in counts.items() if text.lower() not in BLANKS)
    odd = sum(counts[word] for word in words)
    if words and (len(words) > WORDS or not filled or odd > (1 - NUMBERS) * filled):
        return Column(name, texts, None)
    if not len(texts) or np.isinf(values).any():
        return Column(name, texts, None if not len(texts) else values)
    codes = list(_codes(values, counts))
    values = np.where(np.isin(values, codes), np.nan, values) if codes else values
    return Column(name, texts, values, (*words, *codes))


def _number(text: str, form: TextForm) -> float | None:
    try:
        return form.number(text)
    except ValueError:
        return None


def _codes(values: Float64, counts: Mapping[str, int]) -> Iterator[float]:
    """A number such as -999 that is far from all others, and that looks like a sensor's code."""
    far = wild([values[:, None]])
    if far is None:
        return
    written = [text for text in counts if _CODE.fullmatch(text.strip().replace(",", "."))]
    numbers = {float(text.strip().replace(",", ".")) for text in written}
    if far.value in numbers:
        yield int(far.value) if far.value == int(far.value) else far.value
