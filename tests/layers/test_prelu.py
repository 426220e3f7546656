"""PReLU with a slope for each value. PyTorch is the judge."""

from __future__ import annotations

import pytest
import torch

from helpers.arrays import Array, Weights
from helpers.plain_layers import check_formula, check_refused, spec_of


def by_torch(w: Weights, x: Array) -> Array:
    slope = torch.from_numpy(w["y.slope"])
    found: Array = torch.nn.functional.prelu(torch.from_numpy(x.copy()), slope).numpy()
    return found


@pytest.mark.parametrize("features", [1, 2, 6, 35])
def test_formula(features: int) -> None:
    # A single feature: PyTorch takes its second dimension as channels, all as one.
    check_formula(spec_of(features, {"type": "prelu", "name": "y"}), by_torch)


def test_refused() -> None:
    check_refused(
        "network: layer 'y': has unknown keys ['slope']; type 'prelu' has "
        "['name', 'inputs', 'initial']",
        3,
        {"type": "prelu", "name": "y", "slope": 0.1},
    )
