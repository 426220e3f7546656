"""A preprocessor, without a session."""

from __future__ import annotations

from typing import Any

import numpy as np

import edge_lstm_runtime as rt
from edge_lstm_runtime.inputs import Preprocessor


def preprocessor(
    spec: rt.ModelSpec, dtype: type[np.floating[Any]] = np.float32, streams: int | None = None
) -> Preprocessor:
    return spec.inputs.preprocessor(dtype, streams, keep_last=True)
