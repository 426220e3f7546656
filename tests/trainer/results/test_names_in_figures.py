"""A user's names are drawn as they are: matplotlib would read $...$ in them as a formula."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from edge_lstm import train
from edge_lstm.config.schema import Config
from edge_lstm.results import plots
from edge_lstm.tasks.forecast import plot_forecast
from edge_lstm.tasks.regress import plot_regression
from edge_lstm_export.insight.channels import Channels
from edge_lstm_export.insight.plots import plot_channels
from edge_lstm_export.report.plots import plot_errors, plot_inspection, plot_stream
from edge_lstm_export.work import Inspection
from helpers.configs import CLASSIFY, FORECAST

NAMES = ("x$_{$", r"\$a$", "$$")  # the first is a broken formula
ROWS = np.linspace(0, 1, 40)[:, None] * np.ones(len(NAMES))


def inspection() -> Inspection:
    tensors = tuple({"name": name, "nrmse": 0.1} for name in NAMES)
    return Inspection(tensors, (0.1, 0.2), 500, "")


def channels() -> Channels:
    return Channels({"rmse": 1.0}, {name: {"rmse": 2.0} for name in NAMES})


def drawn(figure: Figure) -> list[str]:
    """The texts as they stand in the picture."""
    texts = [text for text in figure.findobj(Text) if text.get_visible()]
    assert all(isinstance(text, Text) for text in texts)
    return [text._preprocess_math(text.get_text())[0] for text in texts]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.plot_confusion(np.eye(3, dtype=int).tolist(), NAMES),
        lambda: plot_errors(dict.fromkeys(NAMES, ROWS), ROWS),
        lambda: plot_stream(dict.fromkeys(NAMES, ROWS), NAMES, ROWS, NAMES),
        lambda: plot_inspection(inspection()),
        lambda: plot_channels(channels()),
    ],
)
def test_each_name_is_in_the_picture_as_it_is(draw: Callable[[], Figure], tmp_path: Path) -> None:
    figure = draw()
    plots.save_figure(figure, tmp_path / "figure.png")
    assert set(NAMES) <= set(drawn(figure))


@pytest.mark.parametrize("name", NAMES)
def test_each_target_is_in_the_titles_as_it_is(name: str, tmp_path: Path) -> None:
    truth = ROWS[:, 0]
    for figure in (
        plot_forecast(truth, {0.5: truth}, name),
        plot_regression([truth], [truth], name),
    ):
        plots.save_figure(figure, tmp_path / "figure.png")
        assert f"{name} (raw units)" in drawn(figure)
        assert f"truth, {name}" in drawn(figure)


def test_a_run_of_such_names_ends(
    classify_csv: Path, configure: Callable[..., Config], tmp_path: Path
) -> None:
    text = classify_csv.read_text().replace(",a,b", ",x$_{$,b").replace("walk", "$w_{$")
    classify_csv.write_text(text)
    named = ('"a"', '"x$_{$"')
    run = train(configure(CLASSIFY, named, train__epochs=1), tmp_path / "classes", quiet=True)
    assert run.spec.answer.classes == ("$w_{$", "rest")
    targets = ('targets = ["b"]', 'targets = ["x$_{$"]')
    config = configure(FORECAST, named, targets, train__epochs=1)
    assert train(config, tmp_path / "channels", quiet=True).metrics["test"]["steps"] > 0
