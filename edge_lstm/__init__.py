"""edge-lstm on the desktop: from sensor data to a trained compact recurrent net.

In short:

    import edge_lstm as el
    run = el.fit(X, y, task="classify", hidden_size=16, epochs=20)
    run.score(X_new, y_new)
    model = run.export("model.edge")

A name is imported when it is first used, because training brings PyTorch, which takes seconds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from edge_lstm_runtime import __version__
from edge_lstm_runtime.errors import MissingDependencyError

if TYPE_CHECKING:
    from .api.estimators import LSTMClassifier, LSTMRegressor
    from .api.fit import fit
    from .config.load import load_config
    from .config.schema import Config
    from .data.load import load_data
    from .data.recordings import Recording, Sequence, Splits
    from .network import CompactNet
    from .results.metrics import evaluate
    from .results.run import Run, load_run
    from .training.train import train

__all__ = [  # noqa: RUF022  (in the order of use)
    # data in memory
    "fit",
    "LSTMClassifier",
    "LSTMRegressor",
    # configuration and data
    "load_config",
    "Config",
    "load_data",
    "Recording",
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
_HOMES = {
    "fit": "api.fit",
    "LSTMClassifier": "api.estimators",
    "LSTMRegressor": "api.estimators",
    "load_config": "config.load",
    "Config": "config.schema",
    "load_data": "data.load",
    "Recording": "data.recordings",
    "Sequence": "data.recordings",
    "Splits": "data.recordings",
    "CompactNet": "network",
    "train": "training.train",
    "load_run": "results.run",
    "Run": "results.run",
    "evaluate": "results.metrics",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        found = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    except ModuleNotFoundError as e:
        if (e.name or "").startswith("edge_lstm"):
            raise
        raise MissingDependencyError(e.name or "a package", "train") from e
    globals()[name] = found  # the next time it is found without this function
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
