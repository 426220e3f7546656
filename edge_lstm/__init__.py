"""edge-lstm on the desktop: from sensor data to a trained compact LSTM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge_lstm_runtime import __version__
from edge_lstm_runtime.errors import MissingDependencyError

try:
    from .config.load import load_config
    from .config.schema import Config
    from .data.load import Sequence, Splits, load_data
    from .results.metrics import evaluate
    from .results.run import Run, load_run
    from .training.train import train
except ModuleNotFoundError as e:
    if (e.name or "").startswith("edge_lstm"):
        raise
    raise MissingDependencyError(e.name or "a package", "train") from e

if TYPE_CHECKING:
    from .network import CompactNet

__all__ = [  # noqa: RUF022  (in the order of use)
    # configuration and data
    "load_config",
    "Config",
    "load_data",
    "Sequence",
    "Splits",
    # model and training
    "CompactNet",
    "train",
    # what came of it
    "load_run",
    "Run",
    "evaluate",
    "__version__",
]


def __getattr__(name: str) -> Any:
    # The module imports torch, which takes seconds and which reading a configuration doesn't need.
    if name == "CompactNet":
        from .network import CompactNet

        return CompactNet
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
