"""The page's parts: titles of cells, words, and pictures that a phone can show."""

from __future__ import annotations

import html
import itertools
import re

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from edge_lstm.results import plots
from edge_lstm.tasks.forecast import plot_forecast
from edge_lstm.tasks.regress import plot_regression
from edge_lstm_export.report import page
from edge_lstm_export.report.glossary import TERMS, words_on
from edge_lstm_export.report.plots import plot_errors, plot_inspection, plot_stream
from edge_lstm_export.work import Inspection

LONG = "a channel with a name as long as a sentence"
ROW = {"epoch": 1.0, "train_loss": 0.5, "val_loss": 0.6, "val_mae": 2.0, "learning_rate": 1e-3}
MOMENTS = 1.3475232e9 + 3600 * np.arange(300)  # 2012-09-13 08:00


def test_each_cell_knows_the_title_of_its_column() -> None:
    table = (
        '<table id=\'a\'>\n<tr><th>name</th><th class="n">max\nabs <b>"error"</b></th></tr>\n'
        '<tr><td>x</td><td class="n">1</td><td>more</td></tr>\n</table>'
    )
    titled = page.titled(table + "<table><tr><td>y</td></tr></table>")
    assert '<tr><td data-title="name">x</td>' in titled
    assert '<td data-title="max abs &quot;error&quot;" class="n">1</td>' in titled
    assert '<td data-title="">more</td>' in titled
    assert titled.endswith("<table><tr><td>y</td></tr></table>")  # without titles it stays


def test_what_stands_between_backticks_is_code_and_all_else_is_text() -> None:
    said = page.render(
        "glossary.html.j2", words=[("<a>", "type `x < 1` & go"), ("b", "one ` more")]
    )
    assert "<dt>&lt;a&gt;</dt><dd>type <code>x &lt; 1</code> &amp; go</dd>" in said
    assert "<dd>one ` more</dd>" in said


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("<p>An NRMSE of 0.1 over 20 steps</p>", ["step", "NRMSE"]),
        ("<p>precision</p>", ["precision"]),
        ("<pre>precision = 'bf16' # RMSE</pre><style>.step {}</style>", []),
        ("<img alt='x' src='data:step RMSE'><th>macro F1</th>", ["macro F1"]),
        ("<td>native-int8</td>", ["native", "native-int8"]),
        ("<p>rmse nrmse bundles stateful</p>", []),
    ],
)
def test_the_words_of_a_page_and_no_others_are_explained(text: str, terms: list[str]) -> None:
    assert [term for term, _ in words_on(text)] == terms


def test_every_term_is_found_by_its_own_pattern_or_beside_it() -> None:
    for term, (pattern, means) in TERMS.items():
        assert re.search(pattern, term) or term in ("max abs", "macro F1", "p50, p99"), term
        assert means[0].isupper() or means[0].isdigit(), term
        assert means.endswith("."), term
        assert html.escape(means, quote=False) == means


def forecast(names: str = LONG, count: int = 40) -> Figure:
    truth = np.sin(np.arange(300) / 10)
    quantiles = {0.05: truth - 1, 0.5: truth, 0.95: truth + 1}
    by_step = {name: {k: 0.1 * k for k in range(1, count)} for name in ("model", "naive")}
    return plot_forecast(
        truth, quantiles, names, ahead=2, baseline=truth, by_step=by_step, time=MOMENTS
    )


OUTPUTS = {f"rknn-sim rk3588-w16a16i_dfp-t{k}.rknn": np.full((60, 3), 0.1 * k) for k in range(12)}
NOTHING = np.zeros((60, 3))
FIGURES = {
    "curves": lambda: plots.plot_curves([ROW, {**ROW, "epoch": 2.0}]),
    "forecast": forecast,
    "regression": lambda: plot_regression([MOMENTS], [MOMENTS + 1], LONG),
    "errors": lambda: plot_errors(OUTPUTS, NOTHING),
    "stream": lambda: plot_stream(OUTPUTS, [*OUTPUTS], NOTHING, [LONG] * 3),
    "inspection": lambda: plot_inspection(
        Inspection(
            tuple({"name": f"both{k}.forward.c", "nrmse": 0.1} for k in range(40)), (1.0,), 9, ""
        )
    ),
}


def collisions(figure: Figure) -> list[str]:
    """Legends that lie on panels, titles or labels, and what is cut off at the edge."""
    FigureCanvasAgg(figure).draw()
    wrong = []
    inside = figure.bbox
    legends = [*figure.legends, *(one for ax in figure.axes if (one := ax.get_legend()))]
    for legend in legends:
        box = legend.get_window_extent()
        if box.x0 < -1 or box.y0 < -1 or box.x1 > inside.width + 1 or box.y1 > inside.height + 1:
            wrong.append(f"a legend is cut off: {box} of {inside}")
        for ax in figure.axes:
            parts = {"panel": ax, "title": ax.title, "x": ax.xaxis.label, "y": ax.yaxis.label}
            for name, part in parts.items():
                if getattr(part, "get_text", lambda: "-")() == "":
                    continue
                if box.overlaps(part.get_window_extent().padded(-1)):
                    wrong.append(f"a legend covers the {name} of {ax.get_title()!r}")
    return wrong


@pytest.mark.parametrize("name", FIGURES)
def test_no_legend_covers_anything_wide_or_on_a_phone(name: str) -> None:
    figure = FIGURES[name]()
    assert collisions(figure) == []
    panels = len(figure.axes)
    assert page.stacked(figure)
    assert figure.get_size_inches()[0] == 4.4
    assert collisions(figure) == []
    tops = [ax.get_position().x0 for ax in figure.axes]
    assert len(figure.axes) == panels
    assert max(tops) < 0.5  # one below the other
    bottoms = [ax.get_position().y0 for ax in figure.axes]
    assert len({round(y, 3) for y in bottoms}) == panels


@pytest.mark.parametrize("classes", [2, 11, 26, 150])
def test_a_confusion_of_many_classes_stays_a_page_wide_and_its_names_apart(classes: int) -> None:
    names = [f"class {k}" for k in range(classes)]
    figure = plots.plot_confusion(np.eye(classes, dtype=int).tolist(), names)
    width, height = figure.get_size_inches()
    assert 3 < width <= 14
    assert 3 < height <= 14
    FigureCanvasAgg(figure).draw()
    boxes = [t.get_window_extent() for t in figure.axes[0].get_yticklabels() if t.get_text()]
    assert all(a.y0 >= b.y1 - 3 for a, b in itertools.pairwise(boxes))
    assert not page.stacked(figure)  # it has a colour bar


def test_colours_are_apart() -> None:
    for count in (2, 10, 11, 20, 21, 100):
        assert len({tuple(colour) for colour in plots.class_colours(count)}) == count
    styles = [tuple(plots.line_style(k).items()) for k in range(32)]
    assert len(set(styles)) == 32


def test_a_forecast_has_dates_if_the_data_has_them() -> None:
    over_time = forecast().axes[0]
    (truth,) = (line for line in over_time.lines if line.get_label() == "truth")
    x = np.asarray(truth.get_xdata()).astype("datetime64[s]").astype(float)
    # Two hours after each step; the last two lie behind the end of the recording.
    np.testing.assert_array_equal(x, MOMENTS + 7200)
    # 2012-09-13 08:00 and 301 hours later, both two hours on
    assert over_time.get_xlabel() == "time, 2012-09-13 to 2012-09-25, that is forecast"
    for time in (None, np.arange(300.0)):  # no dates: seconds from another beginning
        figure = plot_forecast(np.arange(300.0), {0.5: np.arange(300.0)}, "a", ahead=2, time=time)
        assert figure.axes[0].get_xlabel() == "step of the sequence that is forecast"
        assert np.asarray(figure.axes[0].lines[0].get_xdata())[[0, -1]].tolist() == [2, 301]
