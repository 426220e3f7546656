"""The interface of an NPU vendor, and finding one.

A vendor is a folder of this one, or a module that another package names under the entry-point group
"edge_lstm.vendors". It has `VENDOR`, an instance of a class that derives from `Vendor`. No other
file names it. It needs besides

- a backend on the desktop that streams a converted model (`Vendor.simulator`), and one on the
  board, each as any other backend (docs/backends.md). Both state `artifact=Vendor.kind`
- for a converter that needs packages of its own: an `Environment`, and a worker that
  `worker.process.Process` starts there

Number formats are called the same by all vendors. fp16 needs no calibration set, and its models are
held to the tolerance of float16. All others are calibrated, and held to that of int8
(`measure/tolerances.py`).

`VENDOR` is read whenever targets are listed. So its module imports what is heavy, such as onnx,
inside of its methods.

An export asks in this order: `prepare`, `jobs`, `form`, `findings`, `convert`, `notes`, then the
simulator by `Converted.backend`, `traced`, `pack`, `figures`. The C export asks for `c_source`
alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from edge_lstm_runtime import ConfigError
from edge_lstm_runtime.model.measured import Measured
from edge_lstm_runtime.registry import Registry

from .converted import Converted, Form, Job, Packed, Traced
from .finding import Finding, Rule
from .in_c import InC
from .target import Table, Target
from .worker.environment import Environment
from .worker.making import interpreter

if TYPE_CHECKING:
    import onnx
    from matplotlib.figure import Figure

    from edge_lstm_runtime import Bundle

    from ..work import Artifact, Work

Say = Callable[[str], None]
Schemes = Mapping[str, Sequence[str]]  # target -> number formats

VENDORS = Registry(
    package="edge_lstm_export.npu",
    group="edge_lstm.vendors",
    kind="NPU vendor",
    marker="VENDOR",
)


class Vendor(ABC):
    """All that an export, lint and the lists ask of a vendor.

    name       of its folder, "-" for "_"
    title      over its targets in a list
    models     what its converted models are called, in a word: "no RKNN model was made"
    kind       of its artifacts in a bundle, and the ending of their members
    simulator  the name of the backend that streams one of them on the desktop
    source     of that backend's figures, in words
    columns    of its list of targets: titles and widths. `Target.cells` has the texts
    legend     a sentence under that list
    cycles     the title of the cycles in its table of operators
    environment  of its converter, None if it needs no packages of its own
    in_c       whether it has `c_source`
    """

    name: ClassVar[str]
    title: ClassVar[str]
    models: ClassVar[str]
    kind: ClassVar[str]
    simulator: ClassVar[str]
    source: ClassVar[str]
    columns: ClassVar[Sequence[tuple[str, int]]] = (("target", 18), ("schemes", 21), ("boards", 0))
    legend: ClassVar[str] = ""
    cycles: ClassVar[str] = "cycles"
    environment: ClassVar[Environment | None] = None
    in_c: ClassVar[bool] = False

    # --- its targets ---

    @property
    @abstractmethod
    def table(self) -> Table:
        """The documents and the number formats."""

    @abstractmethod
    def targets(self) -> Mapping[str, Target]:
        """Every target by its name, which no other vendor has."""

    # --- its converter ---

    def unsupported_reason(self) -> str | None:
        """Why the converter can't run on this machine, None if it can. Nothing is made for it."""
        return None if self.environment is None else self.environment.unsupported_reason()

    def make_ready(self, say: Say) -> None:
        """Make all that the converter needs, before several conversions ask for it."""
        if self.environment is not None:
            interpreter(self.environment, say)

    def is_ready(self) -> bool:
        """Whether a conversion needs nothing that would have to be made first."""
        if self.unsupported_reason() is not None:
            return False
        return self.environment is None or self.environment.state().damage is None

    def simulated(self, member: str) -> Measured:
        """Its simulator with a converted model, as a key of figures."""
        return Measured(self.simulator, member)

    # --- lint ---

    def rules(self) -> Mapping[str, Rule]:
        return {}

    def lint(self, graph: onnx.ModelProto, target: str, scheme: str) -> Sequence[Finding]:
        """What the converter refuses or takes badly in an ONNX graph, without starting it.

        Raises ConfigError for an unknown target or scheme, or if it takes no graphs.
        """
        raise ConfigError(f"{target} takes no ONNX graph; lint a bundle, NAME.edge")

    @abstractmethod
    def lint_bundle(
        self, bundle: Bundle, target: str, scheme: str
    ) -> Mapping[str, Sequence[Finding]]:
        """The same of all that an export converts of a bundle: name of a part -> findings.

        Raises ConfigError for an unknown target or scheme.
        """

    # --- an export ---

    def prepare(self, work: Work, schemes: Schemes) -> Work:
        """After the calibration set is drawn: a copy with `Work.prepared` of this vendor's name, if
        it needs more than that set. It may say something, and add notes.

        schemes: those of this vendor's targets that are asked for.
        """
        return work

    @abstractmethod
    def jobs(self, work: Work, target: str, scheme: str) -> Sequence[Job]:
        """The forms to try, the best first if they measure alike.

        With `Work.chunk`, one of them takes that many steps. A network that needs whole sequences
        (`ModelSpec.whole`) has that one alone. A form that the vendor does not have for this
        network is tried all the same, and `form` gives the reason.
        """

    @abstractmethod
    def form(self, work: Work, name: str, steps: int) -> Form:
        """The form of a job, the same for all targets. Raises ConversionError with the reason if
        this network doesn't have it."""

    def findings(self, work: Work, form: Form, target: str, scheme: str) -> Sequence[Finding]:
        """Of lint. An error refuses the form, and a warning is a note on a form that is kept."""
        return ()

    @abstractmethod
    def convert(self, work: Work, job: Job, form: Form, log_file: Path) -> Converted:
        """Convert one form. Others are converted beside it, in threads.

        It reads of `work` the specification, the weights, the calibration set (x (N, F), and each
        state (N, size) by name), `prepared`, and the golden rows. Its processes are started by
        `Work.batch`. log_file: keeps the converter's log if it fails.

        Raises ConversionError in one line, and ConverterDiedError if the converter gave no answer.
        """

    def notes(self, work: Work, kept: Job) -> Sequence[str]:
        """What the user must know of a form that is kept."""
        return ()

    def traced(self, work: Work, artifact: Artifact, rows: Any) -> Sequence[Traced]:
        """The tensors inside over the first golden rows, (steps, F), the state carried.

        None if the vendor does not show them. Raises as `convert`.
        """
        return ()

    @abstractmethod
    def pack(self, work: Work, artifact: Artifact, shared: Mapping[str, bytes]) -> Packed:
        """What the bundle gets. shared: the members that it has of the other steps."""

    def c_source(self, bundle: Bundle, member: str, rows: Any) -> InC:
        """A converted model's step, for a folder of C source.

        member: of the bundle, of kind `kind`. rows: (steps, F) float32, features of golden samples.
        Raises ConversionError.
        """
        raise ConfigError(f"there is no C source for {self.title}")

    def figures(self, work: Work) -> Mapping[str, tuple[str, Figure]]:
        """Of the report's end: title -> caption and figure."""
        return {}


def vendor(name: str) -> Vendor:
    """Raises ConfigError for an unknown one, and for a plug-in that can't be loaded."""
    found: Vendor = VENDORS.load(name).VENDOR
    if found.name != name:
        raise ConfigError(
            f"NPU vendor {name!r} can't be loaded: its VENDOR is called {found.name!r}"
        )
    return found


def vendors() -> list[Vendor]:
    """All that can be loaded, sorted by name."""
    return [found for found in _loaded() if isinstance(found, Vendor)]


def broken() -> list[str]:
    """Why a plug-in can't be loaded, a line for each. The others work without it."""
    return [found for found in _loaded() if isinstance(found, str)]


def _loaded() -> Iterator[Vendor | str]:
    for name in VENDORS.names():
        try:
            yield vendor(name)
        except ConfigError as e:
            yield str(e)
