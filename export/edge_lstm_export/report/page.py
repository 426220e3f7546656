"""One self-contained HTML page: no script, no network, every picture inside."""

from __future__ import annotations

import base64
import io
import itertools
import re
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from edge_lstm.results.metrics import figure
from edge_lstm.results.plots import legend_below

from ..measure.recommend import short

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

NARROW = 4.4  # inches: the width of a picture for a phone
SMALL = 1.3 * NARROW  # a picture of that width can be read on a phone as it is
PANEL = 3.1  # inches: the height of a panel there
ROW = 0.2  # inches for each label of an axis
LINE = 46  # characters of a title there


class Picture(NamedTuple):
    """PNG in base64. narrow: the same for a phone, "" if the panels have to stay as they are.
    scrolls: if they stay, whether a phone must scroll to show them large enough."""

    caption: str
    wide: str
    narrow: str
    scrolls: bool


def render(template: str, **values: Any) -> str:
    """template: the name of a file in templates/."""
    environment = Environment(
        loader=PackageLoader("edge_lstm_export", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = _cell
    environment.filters["code"] = _code
    environment.filters["short"] = short
    return titled(environment.get_template(template).render(**values))


def _cell(value: str | int | float | None) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return value if isinstance(value, str) else figure(value)


def _code(text: str) -> Markup:
    """A sentence with what is between backticks as code."""
    parts = [f"<code>{escape(p)}</code>" if k % 2 else escape(p) for k, p in _parts(text)]
    return Markup("").join(map(Markup, parts))


def _parts(text: str) -> Iterator[tuple[int, str]]:
    pieces = text.split("`")
    return enumerate(pieces if len(pieces) % 2 else [text])


def titled(page: str) -> str:
    """Each cell gets the title of its column, which stands before it on a phone."""

    def table(found: re.Match[str]) -> str:
        titles = [_text(head) for head in re.findall(r"<th\b[^>]*>(.*?)</th>", found[0], re.DOTALL)]
        if not titles:
            return found[0]

        def row(cells: re.Match[str]) -> str:
            places = itertools.chain(titles, itertools.repeat(""))
            return re.sub(r"<td\b", lambda _: f'<td data-title="{next(places)}"', cells[0])

        return re.sub(r"<tr>.*?</tr>", row, found[0], flags=re.DOTALL)

    return re.sub(r"<table\b.*?</table>", table, page, flags=re.DOTALL)


def _text(inner: str) -> str:
    """As an attribute."""
    return " ".join(re.sub(r"<[^>]+>", "", inner).split()).replace('"', "&quot;")


def png(drawn: Figure) -> str:
    """The figure as PNG in base64, for a data URL."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    drawn.set_dpi(110)
    canvas: Any = FigureCanvasAgg(drawn)
    canvas.print_png(buffer)  # `savefig` lays the panels out twice
    return base64.b64encode(buffer.getvalue()).decode()


def picture(caption: str, drawn: Figure) -> Picture:
    """The figure is changed."""
    scrolls = drawn.get_size_inches()[0] > SMALL
    return Picture(caption, png(drawn), png(drawn) if stacked(drawn) else "", scrolls)


def stacked(drawn: Figure) -> bool:
    """Put the panels of a figure below each other, in the width of a phone.

    Returns False, and changes nothing, if the figure is narrow already or has a colour bar or
    figures inside.
    """
    from matplotlib.gridspec import GridSpec

    specs = [spec for ax in drawn.axes if (spec := ax.get_subplotspec()) is not None]
    width, height = drawn.get_size_inches()
    if drawn.subfigs or width <= SMALL or not specs or len(specs) < len(drawn.axes):
        return False
    if any(spec.get_gridspec().ncols > 1 for spec in specs):
        heights = [max(PANEL, 1 + ROW * len(ax.get_yticks())) for ax in drawn.axes]
        height = sum(heights)
        below = GridSpec(len(specs), 1, figure=drawn, height_ratios=heights)
        for k, ax in enumerate(drawn.axes):
            ax.set_subplotspec(below[k])
    drawn.set_size_inches(NARROW, height)
    for ax in drawn.axes:
        ax.set_title(textwrap.fill(ax.get_title(), LINE), fontsize=9)
    for ax in drawn.axes:
        if (legend := ax.get_legend()) is not None:
            legend_below(ax, _columns(legend))
    for legend in [*drawn.legends]:
        names = [text.get_text() for text in legend.texts]
        legend.remove()
        _figure_legend(drawn, legend, names)
    return True


def _columns(legend: Legend) -> int:
    """Of a legend on a phone."""
    longest = max((len(text.get_text()) for text in legend.texts), default=0)
    return max(1, LINE // (longest + 8))


def _figure_legend(drawn: Figure, legend: Legend, names: list[str]) -> None:
    """Again, in fewer columns."""
    drawn.legend(
        [handle for handle in legend.legend_handles if handle is not None],
        names,
        loc="outside upper center",
        ncols=_columns(legend),
        frameon=False,
        fontsize=8,
    )
