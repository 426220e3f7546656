"""Processes of an export, side by side."""

from __future__ import annotations

import time

import pytest

from edge_lstm_export.npu.worker import batch
from edge_lstm_runtime import ConversionError


def test_a_failure_ends_all_processes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "AT_ONCE", 2)
    together = batch.Batch()

    def action(name: str) -> None:
        if name == "fails":
            raise ConversionError("refused")
        together.start(["sleep", "30"], start_new_session=True).wait()

    start = time.monotonic()
    with pytest.raises(ConversionError, match="refused"):
        together.side_by_side(action, ["waits", "fails"])
    assert time.monotonic() - start < 15
    with pytest.raises(ConversionError, match="the export was stopped"):
        together.start(["true"])
