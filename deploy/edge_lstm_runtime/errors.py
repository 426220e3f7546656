"""Every error that edge-lstm raises on purpose.

EdgeLstmError                    one line: what, which value, what was expected, what to do
├── ConfigError                  a configuration file or an option
├── DataError                    training or test data
├── TrainingError                training stopped (a non-finite loss, a run that can't be resumed)
├── BundleError                  a bundle that is truncated, altered, incomplete or unwritable
│   └── NewerFormatError         a bundle of a later format version
├── SampleError                  one sample of a stream (the state before it is kept)
├── BackendError                 a backend failed
│   └── BackendUnavailableError  a backend can't run on this machine
├── ConversionError              an export step failed (nothing was written)
│   └── ConverterDiedError       the vendor's process ended without an answer
└── MissingDependencyError       an optional package is not installed

A library call raises the error. The command line prints its message and exits with `exit_code`.
"""

from __future__ import annotations

from .installed import pip_install


class EdgeLstmError(Exception):
    exit_code = 2


class ConfigError(EdgeLstmError):
    pass


class DataError(EdgeLstmError):
    pass


class TrainingError(EdgeLstmError):
    pass


class BundleError(EdgeLstmError):
    pass


class NewerFormatError(BundleError):
    pass


class SampleError(EdgeLstmError):
    pass


class BackendError(EdgeLstmError):
    pass


class BackendUnavailableError(BackendError):
    pass


class ConversionError(EdgeLstmError):
    pass


class ConverterDiedError(ConversionError):
    """retry: whether it may go well the next time."""

    def __init__(self, message: str, *, retry: bool):
        self.retry = retry
        super().__init__(message)


class MissingDependencyError(EdgeLstmError):
    def __init__(self, package: str, extra: str):
        self.package = package
        self.extra = extra
        super().__init__(f"{package} is not installed; run: {pip_install(extra)}")
