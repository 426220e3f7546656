"""An export and a look inside have one thread, whatever PyTorch and NumPy have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import threadpoolctl
import torch

from edge_lstm import Run
from edge_lstm_export import export_run, insight, pipeline


def pools() -> set[int]:
    """The numbers of threads of PyTorch, and of each BLAS and OpenMP that is loaded."""
    loaded = {library["num_threads"] for library in threadpoolctl.threadpool_info()}
    return loaded | {torch.get_num_threads()}


def test_one_thread(trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []

    def look(given: Any) -> Any:
        found.append(pools())
        return given

    monkeypatch.setattr(pipeline, "STEPS", (("a look", look),))
    sentence = insight.lstm_layers
    monkeypatch.setattr(insight, "lstm_layers", lambda spec: look(sentence(spec)))
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        export_run(trained, tmp_path / "x.edge", schemes=())
        insight.inspect_run(trained)
        assert found == [{1}, {1}]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
