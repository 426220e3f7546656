"""The report's figures, read back from matplotlib's objects."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from edge_lstm_export.report.plots import plot_errors, plot_inspection, plot_stream
from edge_lstm_export.work import Inspection


def lines(ax: Axes) -> dict[str, list[list[float]]]:
    """By label, [x, y]."""
    return {str(line.get_label()): line.get_xydata().T.tolist() for line in ax.lines}


def legends(figure: Figure) -> list[list[str]]:
    """The words of each legend of the whole figure. None of its axes has one."""
    assert not any(ax.get_legend() for ax in figure.axes)
    return [[text.get_text() for text in legend.texts] for legend in figure.legends]


def test_errors_are_the_largest_of_each_window_and_every_line_has_a_name() -> None:
    reference = np.zeros((5, 2))
    far = np.array([[0, 0.5], [-2.0, 1], [0.25, 0], [0, 0], [0, -0.125]])
    figure = plot_errors({"npu": far, "numpy": reference}, reference, window=2)
    (ax,) = figure.axes
    assert lines(ax) == {
        "npu": [[0, 2, 4], [2.0, 0.25, 0.125]],
        "numpy": [[0, 2, 4], [1e-9, 1e-9, 1e-9]],  # zero has no place on a logarithmic scale
    }
    assert ax.get_yscale() == "log"
    assert legends(figure) == [["npu", "numpy"]]


@pytest.mark.parametrize("count", [1, 2, 6])
def test_a_stream_is_drawn_over_its_reference_with_one_legend_for_all(count: int) -> None:
    reference = np.arange(8.0 * count).reshape(8, count)
    outputs = {"numpy": reference + 1, "npu": reference + 2, "onnx": reference + 3}
    names = [f"y{k}" for k in range(count)]
    figure = plot_stream(outputs, {"npu", "onnx"}, reference, names, steps=3)
    shown = min(count, 4)
    assert [ax.get_ylabel() for ax in figure.axes] == names[:shown]
    for k, ax in enumerate(figure.axes):
        first = [k, k + count, k + 2 * count]
        assert lines(ax) == {
            "float64 reference": [[0, 1, 2], first],
            "npu": [[0, 1, 2], [y + 2 for y in first]],
            "onnx": [[0, 1, 2], [y + 3 for y in first]],
        }
    assert legends(figure) == [["float64 reference", "npu", "onnx"]]
    colours = {line.get_label(): line.get_color() for line in figure.axes[0].lines}
    assert len(set(colours.values())) == 3


@pytest.mark.parametrize("tensors", [{}, {"lstm0.i": 0.25, "lstm0.c": 0.0}])
def test_an_inspection_shows_each_tensor_and_the_drift_over_thousands_of_steps(
    tensors: dict[str, float],
) -> None:
    rows = tuple({"name": name, "nrmse": nrmse} for name, nrmse in tensors.items())
    *lefts, right = plot_inspection(Inspection(rows, (0.5, 0.25, 0.75), 500, "")).axes
    assert list(lines(right).values()) == [[[0.5, 1.0, 1.5], [0.5, 0.25, 0.75]]]
    assert right.get_ylim()[0] == 0
    assert len(lefts) == bool(tensors)  # not half a picture that is empty
    for left in lefts:
        assert [label.get_text() for label in left.get_yticklabels()] == list(tensors)
        assert [bar.get_width() for bar in left.patches] == [0.25, 1e-9]
        low, high = sorted(left.get_ylim())
        assert left.get_ylim() == (high, low)  # the first tensor on top
