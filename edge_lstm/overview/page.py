"""The overview as one HTML file, with its pictures inside."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from edge_lstm_runtime.files import atomic_write
from edge_lstm_runtime.shown import in_a_line

from .facts import Overview
from .figures import WIDTH, figures
from .scores import Score
from .words import Cells, tables, warnings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS = 200  # an inch
STYLE = """
:root { color-scheme: light; --ink: #1c2733; --soft: #5b6b7a; --line: #dde4ea; }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; color: var(--ink);
  max-width: 1060px; margin: 1.5rem auto; padding: 0 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: 0; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; border-bottom: 1px solid var(--line); }
.lead { color: var(--soft); margin: .2rem 0 1rem; }
ul.notes { padding: .7rem 1rem .7rem 2rem; background: #f4f7fa; border-left: 4px solid #d95f02; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; overflow-wrap: normal; }
th, td { text-align: right; padding: .25rem 0 .25rem 1.1rem; border-bottom: 1px solid var(--line);
  white-space: nowrap; font-variant-numeric: tabular-nums; }
th { color: var(--soft); font-weight: 600; }
th:first-child, td:first-child { text-align: left; padding-left: 0; white-space: normal;
  min-width: 6em; overflow-wrap: anywhere; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 440px), 1fr));
  gap: 1.2rem 2rem; align-items: start; }
figure { margin: 0; } figcaption { color: var(--soft); font-size: .9rem; }
img { width: 100%; max-width: 480px; height: auto; display: block; }
dt { font-weight: 600; } dd { margin: 0 0 .5rem; color: var(--soft); }
"""
WORDS = {
    "groups": "recordings, or all those of one person or device: a group is in one split alone",
    "windows": "pieces of the training sequences, as [data] window and stride cut them",
    "far off": "values far from all others: a sensor's code for a missing value?",
    "drift": "the test split's median less that of training, in training's standard deviations",
    "simple models": "a net that is no better than these has learned nothing worth its bytes",
}


def write_page(found: Overview, scored: Sequence[Score], name: str, path: Path) -> None:
    """name: of the configuration."""
    text = "\n".join(_page(found, scored, name))
    with atomic_write(path) as file:
        file.write(text.encode("utf-8", "replace"))


def _page(found: Overview, scored: Sequence[Score], name: str) -> Iterator[str]:
    config = found.config
    title = f"Data of {_text(name)}"
    yield '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{title}</title><style>{STYLE}</style></head><body><h1>{title}</h1>"
    needs = _text(f"{config.data.needs}: source {config.data.source}, task {config.model.task}")
    yield f'<p class="lead">{needs}</p>'
    notes = [*found.splits.notes, *warnings(found)]
    if notes:
        yield '<ul class="notes">'
        yield from (f"<li>{_text(note)}</li>" for note in notes)
        yield "</ul>"
    for heading, cells in tables(found, scored):
        yield f"<h2>{_text(heading[0].upper() + heading[1:])}</h2>"
        yield from _table(cells)
    yield '<h2>Pictures</h2><div class="pictures">'
    for caption, drawn in figures(found):
        yield _picture(caption, drawn)
    yield "</div><h2>Words</h2><dl>"
    yield from (f"<dt>{word}</dt><dd>{_text(meaning)}</dd>" for word, meaning in WORDS.items())
    yield "</dl></body></html>"


def _table(cells: Cells) -> Iterator[str]:
    head, *rows = cells
    yield '<div class="wide"><table>'
    yield "<tr>" + "".join(f"<th>{_text(cell)}</th>" for cell in head) + "</tr>"
    for row in rows:
        yield "<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>"
    yield "</table></div>"


def _picture(caption: str, drawn: Figure) -> str:
    file = io.BytesIO()
    drawn.savefig(file, format="png", dpi=DOTS)
    data = base64.b64encode(file.getvalue()).decode()
    width = round(100 * WIDTH)
    image = f'<img width="{width}" alt="{_text(caption)}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}<figcaption>{_text(caption)}</figcaption></figure>"


def _text(text: str) -> str:
    return escape(in_a_line(text))
