"""edge-lstm on the board: load a bundle, stream samples through it. Needs NumPy and nothing else.

In short:

    import edge_lstm_runtime as rt
    model = rt.load("model.edge")
    with model.session() as s:
        y = s.step(x)
"""

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
from .generate import generate
from .inputs.front_end import FrontEnd, FrontEndStream
from .load import Model, load
from .model.bundle import Bundle, read_bundle, write_bundle
from .model.spec import ModelSpec, describe
from .session import Session, StreamsSession
from .verify.auto import choose_backend
from .verify.check import Check, check_backend
from .verify.error import Comparison, Tolerance, compare
from .version import __version__

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
