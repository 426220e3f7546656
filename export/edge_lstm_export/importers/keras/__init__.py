"""Keras 3: a `.keras` file is a zip of the configuration and of the weights.

archive   the file, read here and by h5py. Nothing in it is run
config    the configuration, down to what a net is; all else is left out or refused
walk      what the layers become
original  Keras itself, with a model of the cleaned configuration
"""

from __future__ import annotations

from pathlib import Path

from .. import Foreign
from .walk import foreign

ENDINGS = (".keras",)


def read(path: Path) -> Foreign:
    """Raises ConversionError: for a damaged file, and naming all layers that can't be taken."""
    return foreign(path)
