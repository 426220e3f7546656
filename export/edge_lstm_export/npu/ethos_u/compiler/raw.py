"""Vela's raw output, with names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edge_lstm_runtime.model.npz import write_npz

BYTES = ("cmd_data", "weight_data")  # which Vela writes as one text
PICKLED = "_quantization"


def named(file: Path, inputs: Mapping[str, int], outputs: Mapping[str, int]) -> bytes:
    """file: of Vela. It gets `input_name` and `output_name`, and loses its pickled arrays.

    inputs, outputs: x, y and the states -> the place among Vela's, whose order is that of TOSA's
    file.
    """
    with np.load(file, allow_pickle=False) as arrays:
        kept = {name: arrays[name] for name in arrays.files if not name.endswith(PICKLED)}
    for name in BYTES:
        kept[name] = np.frombuffer(kept[name].tobytes(), np.uint8)
    for name, places in (("input_name", inputs), ("output_name", outputs)):
        kept[name] = np.array(sorted(places, key=places.__getitem__))
    return write_npz(kept)
