"""Nets of guitar amplifiers and effects: the JSON of RTNeural and of GuitarML, and LSTMs of NAM.

RTNeural      {"in_shape": [..., inputs], "layers": [{"type", "activation", "shape", "weights"}]}
              with the weights of Keras: columns of gates, LSTM i, f, c, o, GRU z, r, h
GuitarML      {"model_data": {...}, "state_dict": {...}} of Automated-GuitarAmpModelling: torch's
NAM           {"architecture": "LSTM", "config": {...}, "weights": [...]}: of each layer [W_x W_h]
              row by row, the bias, and the initial h and c; then the head

There is no tool here that runs them. PyTorch's own layers, with the weights of the file, stand for
the original, in float64.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass

ENDINGS = (".json", ".nam")
