"""The pictures of `edge-lstm inspect`, read back from matplotlib's objects."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes

from edge_lstm_export.insight.channels import Channels
from edge_lstm_export.insight.context import Context
from edge_lstm_export.insight.gates import Gates
from edge_lstm_export.insight.gradients import Gradients
from edge_lstm_export.insight.memory import Memory
from edge_lstm_export.insight.plots import (
    plot_cell,
    plot_channels,
    plot_context,
    plot_effect,
    plot_gates,
    plot_gradients,
)

EFFECT = np.array([[1.0, 4.0, 0.0], [3.0, 6.0, 1e-20], [2.0, 8.0, 1e-3]])  # of three samples


def memory(*effect: np.ndarray) -> Memory:
    c = np.tile([1.0, -2.0, 0.5], (6, 1))
    x = np.zeros((6, 2))
    return Memory("s", 6, 6, x, [c] * len(effect), np.arange(3), list(effect), None)


def named(ax: Axes) -> dict[str, list[float]]:
    """The lines that the legend names, by name: y."""
    told = ax.get_legend()
    assert told is not None
    lines = {line.get_label(): line for line in ax.lines}
    return {text.get_text(): lines[text.get_text()].get_ydata().tolist() for text in told.texts}


def test_each_gate_has_its_range_and_its_shares() -> None:
    count = np.zeros(40, np.int64)
    count[[0, 39]] = 3, 1
    shares = [dict.fromkeys("ifgo", share) for share in (0.75, 0.25, 0.5)]
    gates = Gates(4, 4, *([each] * 2 for each in shares), [dict.fromkeys("ifgo", count)] * 2, [])
    axes = plot_gates(gates).axes
    assert [ax.get_title().splitlines()[0] for ax in axes] == 2 * [
        "input gate i",
        "forget gate f",
        "candidate g",
        "output gate o",
    ]
    for n, ax in enumerate(axes):
        start = -1 if n % 4 == 2 else 0  # the candidate is a tanh
        assert ax.get_xlim() == (start, 1)
        first, *_, last = ax.patches
        assert (first.get_x(), first.get_height()) == (start, 0.75)
        assert last.get_x() + last.get_width() == pytest.approx(1)
        assert last.get_height() == 0.25
        assert ax.get_title().endswith("\n75 % low, 25 % high")


def test_the_unit_that_remembers_longest_is_on_top_and_white_is_zero() -> None:
    _, ax, *_ = plot_cell(memory(EFFECT), [np.array([2.0, 1.0, 3.0])]).axes
    (image,) = ax.images
    assert image.get_array()[:, 0].tolist() == [0.5, 1.0, -2.0]
    assert image.get_clim() == (-2, 2)


def test_the_effect_of_each_layer_is_its_median_between_least_and_most() -> None:
    (ax,) = plot_effect(memory(EFFECT, EFFECT / 2)).axes
    assert named(ax) == {
        "layer 1: median, least and most": [2, 6, 1e-20],
        "layer 2: median, least and most": [1, 3, 5e-21],
    }
    area = ax.collections[0].get_paths()[0].vertices
    assert {tuple(point) for point in area.tolist()} >= {(0, 1), (0, 3), (1, 4), (1, 8), (2, 0)}
    assert ax.get_yscale() == "log"
    assert ax.get_ylim()[0] == pytest.approx(8e-12)  # what lies below has vanished


def test_a_channel_that_helps_and_one_that_harms_differ_and_the_first_is_on_top() -> None:
    channels = Channels({"rmse": 2.0}, {"a": {"rmse": 1.5}, "b": {"rmse": 5.0}})
    (ax,) = plot_channels(channels).axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "a"]
    helps, harms = ax.patches
    assert (helps.get_width(), harms.get_width()) == (3, -0.5)
    assert helps.get_facecolor() != harms.get_facecolor()
    bottom, top = ax.get_ylim()
    assert bottom > top
    assert ax.lines[0].get_xdata() == [0, 0]


def test_a_context_begins_at_one_character_beside_the_whole_one() -> None:
    (ax,) = plot_context(Context(7, 1.5, np.array([4.0, 3.0, 2.0]))).axes
    whole, curve = ax.lines
    assert whole.get_ydata() == [1.5, 1.5]
    assert curve.get_xydata().tolist() == [[1, 4], [2, 3], [3, 2]]


def test_gradients_run_back_from_the_loss() -> None:
    """Negative steps: how long before the loss."""
    h = np.array([[4.0, 2.0, 1.0]])
    gradients = Gradients(1, [h, h / 2], [2 * h, h])
    (ax,) = plot_gradients(gradients).axes
    assert named(ax).keys() == {f"layer {k}: by {name}" for k in (1, 2) for name in "hc"}
    for line in ax.lines:
        assert line.get_xdata().tolist() == [0, -1, -2]
    dashed = [line.get_label() for line in ax.lines if line.get_linestyle() == "--"]
    assert dashed == ["layer 1: by h", "layer 2: by h"]
