"""What a session does around its backend, without a session."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import edge_lstm_runtime as rt
from edge_lstm_runtime.inputs import Preprocessor
from edge_lstm_runtime.session import answers


def preprocessor(
    spec: rt.ModelSpec, dtype: type[np.floating[Any]] = np.float32, streams: int | None = None
) -> Preprocessor:
    return spec.inputs.preprocessor(dtype, streams, keep_last=True)


def in_raw_units(spec: rt.ModelSpec, outputs: NDArray[Any], filled: NDArray[Any]) -> NDArray[Any]:
    """Outputs (steps, O) as answers. filled: (steps, C) the samples, their gaps filled."""
    scaling = spec.answer.scaling(spec.inputs)
    return outputs if scaling is None else answers(scaling, outputs, filled)
