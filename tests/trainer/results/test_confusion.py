"""Counts of classes, against torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_confusion_matrix,
    multiclass_f1_score,
)

from edge_lstm.results.confusion import accuracy, counted, macro_f1
from edge_lstm.training.tally import ClassTally


@pytest.mark.parametrize("size", [2, 3, 7])
@pytest.mark.parametrize("used", [1, 2, 7])
def test_as_torchmetrics(size: int, used: int) -> None:
    """used: so many classes occur at most."""
    rng = np.random.default_rng(size + 10 * used)
    truth, told = rng.integers(0, min(size, used), (2, 50))
    y = torch.from_numpy(truth)
    answer = torch.from_numpy(told)
    counts = counted(truth, told, size)
    np.testing.assert_array_equal(counts, multiclass_confusion_matrix(answer, y, size))
    right = float(multiclass_accuracy(answer, y, size, average="micro"))
    f1 = float(multiclass_f1_score(answer, y, size, average="macro"))
    assert accuracy(counts) == pytest.approx(right, abs=1e-6)
    assert macro_f1(counts) == pytest.approx(f1, abs=1e-6)

    tally = ClassTally(size)
    tally.start("cpu")
    scores = torch.nn.functional.one_hot(answer, size).float()
    for part in (slice(0, 20), slice(20, 50)):
        tally.add_last(scores[part], y[part])
    found = tally.figures(0.0, 50, lambda tensor: tensor)
    assert found == {
        "val_accuracy": pytest.approx(right, abs=1e-6),
        "val_macro_f1": pytest.approx(f1, abs=1e-6),
    }
