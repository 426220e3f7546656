"""edge-lstm on the board: load a bundle, stream samples through it. Needs NumPy and nothing else.

In short:

    import edge_lstm_runtime as rt
    model = rt.load("model.edge")
    with model.session() as s:
        y = s.step(x)

A name is imported when it is first used: a program that streams needs few of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .backends.base import Backend, Facts
    from .backends.reference import Reference
    from .detector import AnomalyDetector, Detection
    from .errors import (
        BackendError,
        BackendUnavailableError,
        BundleError,
        ConfigError,
        ConversionError,
        DataError,
        EdgeLstmError,
        MissingDependencyError,
        NewerFormatError,
        OlderVersionError,
        SampleError,
        SignatureError,
        TrainingError,
    )
    from .generating import generate
    from .inputs.front_end import FrontEnd, FrontEndStream
    from .loading import Model, load
    from .model.bundle import Bundle, read_bundle, write_bundle
    from .model.spec import ModelSpec, describe
    from .session import Session, StreamsSession
    from .verify.auto import choose_backend
    from .verify.check import Check, check_backend
    from .verify.error import Comparison, Tolerance, compare

__all__ = [  # noqa: RUF022  (grouped)
    # load and run
    "load", "Model", "Session", "StreamsSession", "Backend", "Facts", "describe", "generate",
    # anomalies
    "AnomalyDetector", "Detection",
    # sound
    "FrontEnd", "FrontEndStream",
    # check
    "check_backend", "choose_backend", "compare", "Check", "Comparison", "Tolerance", "Reference",
    # the file
    "Bundle", "ModelSpec", "read_bundle", "write_bundle",
    # errors
    "EdgeLstmError", "BackendError", "BackendUnavailableError", "BundleError", "ConfigError",
    "ConversionError", "DataError", "MissingDependencyError", "NewerFormatError",
    "OlderVersionError", "SampleError", "SignatureError", "TrainingError",
    "__version__",
]  # fmt: skip
_HOMES = {
    "load": "loading",
    "Model": "loading",
    "Session": "session",
    "StreamsSession": "session",
    "Backend": "backends.base",
    "Facts": "backends.base",
    "describe": "model.spec",
    "generate": "generating",
    "AnomalyDetector": "detector",
    "Detection": "detector",
    "FrontEnd": "inputs.front_end",
    "FrontEndStream": "inputs.front_end",
    "check_backend": "verify.check",
    "choose_backend": "verify.auto",
    "compare": "verify.error",
    "Check": "verify.check",
    "Comparison": "verify.error",
    "Tolerance": "verify.error",
    "Reference": "backends.reference",
    "Bundle": "model.bundle",
    "ModelSpec": "model.spec",
    "read_bundle": "model.bundle",
    "write_bundle": "model.bundle",
    "EdgeLstmError": "errors",
    "BackendError": "errors",
    "BackendUnavailableError": "errors",
    "BundleError": "errors",
    "ConfigError": "errors",
    "ConversionError": "errors",
    "DataError": "errors",
    "MissingDependencyError": "errors",
    "NewerFormatError": "errors",
    "OlderVersionError": "errors",
    "SampleError": "errors",
    "SignatureError": "errors",
    "TrainingError": "errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found  # the next time it is found without this function
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
