"""RKNN's simulator among the figures of an export."""

from __future__ import annotations

from edge_lstm_export.npu.rknn import VENDOR
from edge_lstm_runtime.model.measured import Measured


def simulated(member: str) -> Measured:
    """member: such as "rk3588-fp16.rknn"."""
    return VENDOR.simulated(member)
