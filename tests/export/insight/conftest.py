"""Settings of the tests of `edge-lstm inspect`."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # models this small lose more than they win by a second one
