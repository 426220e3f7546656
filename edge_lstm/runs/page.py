"""Runs as one HTML page: the table, their curves over each other, and how they are configured.

It needs no network. A script of a few lines sorts the table, and the page is whole without it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from html import escape

from ..results.metrics import title_of
from ..results.plots import DASHES, PALETTE
from .found import Found
from .table import COLUMNS, NUMBERS, cells, differences

WIDTH = 640  # of a picture, in its own units
HEIGHT = 260
LEFT = 62
BELOW = 34
MARKS = 4  # on an axis, at most
STROKES = {"-": "", "--": "6 4", ":": "2 3", "-.": "6 3 2 3"}

STYLE = """
body { font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; color: #1c2733; margin: 2rem auto;
  max-width: 1200px; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; border-bottom: 1px solid #dde4ea; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #dde4ea;
  vertical-align: top; }
th { color: #5b6b7a; cursor: pointer; } .n { text-align: right; white-space: nowrap; }
svg { max-width: 100%; height: auto; } svg text { font-size: 12px; fill: #5b6b7a; }
@media (max-width: 560px) { svg text { font-size: 18px; } #runs td { white-space: nowrap; } }
.curves { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); }
.key { display: inline-block; margin-right: 1rem; white-space: nowrap; }
.key svg { vertical-align: middle; margin-right: .3rem; }
"""
SCRIPT = """
document.querySelectorAll("#runs th").forEach((head, k) => head.addEventListener("click", () => {
  const body = head.closest("table").tBodies[0];
  const key = row => row.cells[k].dataset.value;
  const order = head.dataset.order = head.dataset.order === "1" ? "-1" : "1";
  [...body.rows].slice(1).sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    const [m, n] = [parseFloat(x), parseFloat(y)];
    if (x === "" || y === "") return (x === "") - (y === "");
    return order * (head.className === "n" ? m - n : x.localeCompare(y));
  }).forEach(row => body.append(row));
}));
"""


def page(title: str, found: Sequence[Found], troubles: Iterable[str]) -> str:
    """found: in the order of the table."""
    rest = "".join(f"<li>{escape(line)}</li>" for line in troubles)
    parts = [
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>\n<p>{len(found)} finished runs. Bytes are those of float32 "
        "weights. A metric's range is its 95 % interval, if it has one. Click a title to sort.</p>",
        _runs(found),
        f"<h2>Not in the table</h2><ul>{rest}</ul>" if rest else "",
        "<h2>Curves</h2>",
        *_curves(found),
        "<h2>Where the configurations differ</h2>",
        _differences(found),
        f"<script>{SCRIPT}</script></body></html>\n",
    ]
    return "\n".join(filter(None, parts))


def _runs(found: Sequence[Found]) -> str:
    numeric = {*NUMBERS, "metric", "epochs"}
    heads = "".join(
        f"<th{' class=n' if key in numeric else ''}>{escape(head)}</th>"
        for key, head in COLUMNS.items()
    )
    rows = "\n".join(f"<tr>{_row(one)}</tr>" for one in found)
    return f"<div class='wide'><table id='runs'>\n<tr>{heads}</tr>\n{rows}\n</table></div>"


def _row(one: Found) -> str:
    """data-value: what a column is sorted by."""
    by = {"metric": one.value, "us": one.us, "bytes": one.bytes, "parameters": one.parameters}
    by |= {"seed": one.seed, "epochs": one.epochs}
    shown = []
    for key, cell in cells(one).items():
        value = by.get(key, cell)
        value = "" if value is None else value
        kind = " class='n'" if key in by else ""
        shown.append(f"<td{kind} data-value='{escape(str(value))}'>{escape(cell)}</td>")
    return "".join(shown)


def _curves(found: Sequence[Found]) -> list[str]:
    """A picture of each figure of the validation split, of the runs of the same task and data."""
    groups: defaultdict[tuple[str, str], list[Found]] = defaultdict(list)
    for one in found:
        groups[one.task, one.data].append(one)
    parts = []
    for (task, data), runs in groups.items():
        names = dict.fromkeys(k for one in runs for k in one.curve[0] if k.startswith("val_"))
        parts.append(f"<h3>{escape(task)}, {escape(data)}</h3>\n<p>{_keys(runs)}</p>")
        pictures = "\n".join(_picture(name, runs) for name in names)
        parts.append(f"<div class='curves'>{pictures}</div>")
    return parts


def _keys(runs: Sequence[Found]) -> str:
    return "".join(
        f"<span class='key'><svg width='28' height='8'><path d='M0 4H28' {_stroke(k)}/></svg>"
        f"{escape(one.name)}</span>"
        for k, one in enumerate(runs)
    )


def _stroke(k: int) -> str:
    dashes = STROKES[DASHES[k // len(PALETTE) % len(DASHES)]]
    return f"fill='none' stroke='{PALETTE[k % len(PALETTE)]}' stroke-dasharray='{dashes}'"


def _picture(name: str, runs: Sequence[Found]) -> str:
    """Lines over the epochs."""
    points = [
        [(row["epoch"], row[name]) for row in one.curve if math.isfinite(row.get(name, math.nan))]
        for one in runs
    ]
    values = [y for line in points for _, y in line]
    if not values:
        return ""
    last = max(x for line in points for x, _ in line)
    low, high = _ends(values)

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (WIDTH - LEFT - 12) * (x - 1) / max(last - 1, 1)
        return across, (HEIGHT - BELOW) - (HEIGHT - BELOW - 24) * (y - low) / (high - low)

    lines = []
    for k, line in enumerate(points):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line))
        shape = f"<polyline points='{path}' stroke-width='1.6' {_stroke(k)}/>"
        if len(line) == 1:  # a line of one point can't be seen
            x, y = place(*line[0])
            shape = f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3' {_stroke(k)}/>"
        lines.append(f"<g><title>{escape(runs[k].name)}</title>{shape}</g>")
    marks = []
    for n in range(MARKS + 1):
        value = low + (high - low) * n / MARKS
        _, y = place(1, value)
        marks.append(
            f"<path d='M{LEFT} {y:.1f}H{WIDTH - 12}' stroke='#dde4ea'/>"
            f"<text x='{LEFT - 6}' y='{y + 4:.1f}' text-anchor='end'>{value:.3g}</text>"
        )
    for epoch in sorted({1, max(1, round(last / 2)), int(last)}):
        x, _ = place(epoch, low)
        marks.append(f"<text x='{x:.1f}' y='{HEIGHT - 16}' text-anchor='middle'>{epoch}</text>")
    title = f"validation {title_of(name.removeprefix('val_'))} by the epoch"
    return (
        f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' role='img'><text x='{LEFT}' y='16'>{title}</text>"
        f"{''.join(marks)}{''.join(lines)}</svg>"
    )


def _ends(values: Sequence[float]) -> tuple[float, float]:
    low = min(values)
    high = max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _differences(found: Sequence[Found]) -> str:
    differ = differences(found)
    if not differ:
        return "<p>They are alike.</p>"
    heads = "".join(f"<th>{escape(one.name)}</th>" for one in found)
    rows = "\n".join(_keyed(key, values) for key, values in differ.items())
    return (
        f"<div class='wide'><table id='keys'>\n<tr><th>key</th>{heads}</tr>\n{rows}\n</table></div>"
    )


def _keyed(key: str, values: Iterable[object]) -> str:
    cells = "".join(f"<td>{escape('' if v is None else _plain(v))}</td>" for v in values)
    return f"<tr><td>{escape(key)}</td>{cells}</tr>"


def _plain(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)
