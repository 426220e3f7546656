"""Every error that edge-lstm raises on purpose.

EdgeLstmError                    one line: what, which value, what was expected, what to do
├── ConfigError                  a configuration file or an option
├── DataError                    training or test data
├── TrainingError                training stopped (a non-finite loss, a run that can't be resumed)
├── BundleError                  a bundle that is truncated, altered, incomplete or unwritable
│   ├── NewerFormatError         a bundle of a later format version
│   ├── OlderVersionError        a bundle of a lower version than ran before
│   └── SignatureError           a bundle that no trusted key has signed
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
    """What all errors here derive from. Its text is one line: what, which value, what to do.

    >>> import edge_lstm_runtime as rt
    >>> try:
    ...     model = rt.load("nothing.edge")
    ... except rt.EdgeLstmError as e:
    ...     print(e)
    can't read nothing.edge: No such file or directory
    """

    exit_code = 2


class ConfigError(EdgeLstmError):
    """A key of a configuration, or an option, that is wrong or doesn't apply.

    >>> import edge_lstm_runtime as rt
    >>> try:
    ...     session = rt.load("mine.edge").session(streams=0)
    ... except rt.ConfigError as e:
    ...     print(e)
    streams is 0; expected a whole number from 1
    """


class DataError(EdgeLstmError):
    """Data for training or measuring that can't be used.

    >>> import edge_lstm as el, edge_lstm_runtime as rt
    >>> try:
    ...     run = el.fit([], [], task="classify")
    ... except rt.DataError as e:
    ...     print(str(e).split(";")[0])
    the data has no recordings
    """


class TrainingError(EdgeLstmError):
    """A training that can't begin, go on or end, or a folder that is no run.

    >>> import edge_lstm as el, edge_lstm_runtime as rt
    >>> try:
    ...     run = el.load_run("nothing")
    ... except rt.TrainingError as e:
    ...     print(str(e).split(";")[0])
    nothing: there is no such folder
    """


class BundleError(EdgeLstmError):
    """A bundle that is damaged, incomplete, unwritable or no bundle.

    >>> import edge_lstm_runtime as rt
    >>> try:
    ...     bundle = rt.read_bundle("mine.csv")
    ... except rt.BundleError as e:
    ...     print(str(e).split(";")[0])
    mine.csv is a table
    """


class NewerFormatError(BundleError):
    """A bundle that a later version wrote. It is whole, and this version can't read it.

    >>> import edge_lstm_runtime as rt
    >>> issubclass(rt.NewerFormatError, rt.BundleError)
    True
    """


class OlderVersionError(BundleError):
    """A bundle of a lower version than one that ran on this machine before.

    >>> import edge_lstm_runtime as rt
    >>> issubclass(rt.OlderVersionError, rt.BundleError)
    True
    """


class SignatureError(BundleError):
    """A bundle without a signature by a trusted key, or one that was altered after it.

    >>> import edge_lstm_runtime as rt
    >>> try:
    ...     bundle = rt.read_bundle("mine.edge", trusted="allowed_signers")
    ... except rt.SignatureError as e:
    ...     print(str(e).split(";")[0])
    can't read the signature mine.edge.sig: No such file or directory
    """


class SampleError(EdgeLstmError):
    """One sample of a stream that can't be used. The state is as it was before the sample.

    >>> import edge_lstm_runtime as rt
    >>> with rt.load("mine.edge").session() as s:
    ...     try:
    ...         answer = s.step([0.1, 0.2])
    ...     except rt.SampleError as e:
    ...         print(e)
    sample has shape (2,), expected (3,) for channels ax, ay, az
    """


class BackendError(EdgeLstmError):
    """A backend that is unknown, fails, or gives wrong answers.

    >>> import edge_lstm_runtime as rt
    >>> with rt.load("mine.edge").session() as s:
    ...     try:
    ...         s.state = {}
    ...     except rt.BackendError as e:
    ...         print(str(e).split(",")[0])
    state has keys []
    """


class BackendUnavailableError(BackendError):
    """A backend that can't run here: the machine or the bundle lacks what it needs.

    >>> import edge_lstm_runtime as rt
    >>> try:
    ...     session = rt.load("mine.edge").session("rknn")
    ... except rt.BackendUnavailableError:
    ...     print("no NPU here, or none in the bundle")
    no NPU here, or none in the bundle
    """


class ConversionError(EdgeLstmError):
    """A step of an export or an import that failed. Nothing was written.

    >>> import edge_lstm_export as ex, edge_lstm_runtime as rt
    >>> try:
    ...     net = ex.import_net("nothing.onnx")
    ... except rt.ConversionError as e:
    ...     print(e)
    nothing.onnx: there is no such file
    """


class ConverterDiedError(ConversionError):
    """retry: whether it may go well the next time."""

    def __init__(self, message: str, *, retry: bool):
        self.retry = retry
        super().__init__(message)


class MissingDependencyError(EdgeLstmError):
    """A package that an extra installs is not there. The text has the command.

    package: its name.

    >>> import edge_lstm_runtime as rt
    >>> error = rt.MissingDependencyError("torch", "train")
    >>> error.package, str(error).split(";")[0]
    ('torch', 'torch is not installed')
    """

    def __init__(self, package: str, extra: str):
        self.package = package
        self.extra = extra
        super().__init__(f"{package} is not installed; run: {pip_install(extra)}")
