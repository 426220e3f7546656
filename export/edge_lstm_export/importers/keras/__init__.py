"""Keras 3: a `.keras` file is a zip of the configuration and of the weights.

archive   the file, read here and by h5py. Nothing in it is run
config    the configuration, down to what a net is; all else is left out or refused
walk      goes from layer to layer; each value is known by its origin, as of ONNX
nodes     what layers become
recurrent what recurrent layers become
graph     a file as a net of ours
original  Keras itself, with a model of the cleaned configuration
"""

from __future__ import annotations

from pathlib import Path

from .. import Foreign
from .graph import foreign

ENDINGS = (".keras",)
OLD = (".h5", ".hdf5")


def refusal(path: Path) -> str:
    """Why a file of another ending is not taken, "" if it is none of Keras."""
    if path.suffix.lower() not in OLD or not path.is_file():
        return ""
    return (
        "is a file of Keras 2, or of weights alone. Load it in your program, and save the model by "
        'model.save("net.keras")'
    )


def read(path: Path) -> Foreign:
    """Raises ConversionError: for a damaged file, and naming all layers that can't be taken."""
    return foreign(path)
