"""What the steps of an export need to know of the net that they export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_lstm.data.recordings import Splits
from edge_lstm_runtime import ModelSpec


class Exported(Protocol):
    """A trained `Run`, or a net that was `Imported`. The properties are those of a run.

    synthetic: whether the data were made, and are no inputs that the net will get. imported:
    whether another tool trained it, so that no message may advise to train it otherwise.
    """

    @property
    def path(self) -> Path: ...
    @property
    def spec(self) -> ModelSpec: ...
    @property
    def weights(self) -> Mapping[str, NDArray[np.float32]]: ...
    @property
    def splits(self) -> Splits: ...
    @property
    def metrics(self) -> Mapping[str, Any]: ...
    @property
    def history(self) -> Sequence[Mapping[str, float]]: ...
    @property
    def w8a8(self) -> Mapping[str, NDArray[np.float32]]: ...
    @property
    def synthetic(self) -> bool: ...
    @property
    def imported(self) -> bool: ...
    @property
    def season(self) -> int | None: ...
    @property
    def origin(self) -> str: ...
    @property
    def provenance(self) -> Mapping[str, str]: ...
    @property
    def measured_by(self) -> tuple[str, str]: ...
