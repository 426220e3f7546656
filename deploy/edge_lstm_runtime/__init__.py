"""edge-lstm on the board: load a bundle, stream samples through it. Needs NumPy and nothing else.

In short:

    import edge_lstm_runtime as rt
    model = rt.load("model.edge")
    with model.session() as s:
        y = s.step(x)
"""

from .anomaly import AnomalyDetector, Detection
from .audio import FrontEnd, FrontEndStream
from .backends import Backend
from .bundle import Bundle, read_bundle, write_bundle
from .check import Check, check_backend
from .choice import choose_backend
from .compare import Comparison, Tolerance, compare
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
    SampleError,
    TrainingError,
)
from .language import generate
from .model import Model, Session, load
from .processing import describe
from .reference import Reference
from .spec import ModelSpec
from .streams import StreamsSession

__version__ = "0.1.0"

__all__ = [  # noqa: RUF022  (grouped)
    # load and run
    "load", "Model", "Session", "StreamsSession", "Backend", "describe", "generate",
    # anomalies
    "AnomalyDetector", "Detection",
    # sound
    "FrontEnd", "FrontEndStream",
    # check
    "check_backend", "choose_backend", "compare", "Check", "Comparison", "Tolerance", "Reference",
    # the file
    "Bundle", "ModelSpec", "read_bundle", "write_bundle",
    # errors
    "EdgeLstmError", "BackendError", "BackendUnavailableError", "BundleError", "ConfigError", "ConversionError", "DataError",
    "MissingDependencyError", "NewerFormatError", "SampleError", "TrainingError",
]  # fmt: skip
