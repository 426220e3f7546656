"""Rockchip, as a vendor of NPUs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_lstm_runtime.backends.rknn.board import KIND

from ..converted import Converted, Job, Packed, Traced
from ..finding import Finding, Rule
from ..target import Table, Target
from ..vendor import Schemes, Vendor
from . import targets
from .environment import ENVIRONMENT

if TYPE_CHECKING:
    import onnx
    from matplotlib.figure import Figure

    from edge_lstm_runtime import Bundle

    from ...work import Artifact, Work


class Rockchip(Vendor):
    name = targets.NAME
    title = "Rockchip"
    models = "RKNN"
    kind = KIND
    simulator = "rknn-sim"
    source = "simulator of rknn-toolkit2, not a board"
    columns = (
        ("target", 10),
        ("cores", 7),
        ("schemes", 21),
        ("LSTM operator", 16),
        ("Python there", 14),
        ("boards", 0),
    )
    legend = (
        "Python there: rknn-toolkit-lite2 runs on its boards. "
        "observed: by the converter, not from the manual. ?: unknown."
    )
    cycles = "cycles DDR/NPU/total"
    environment = ENVIRONMENT

    @property
    def table(self) -> Table:
        return targets.table()

    def targets(self) -> Mapping[str, Target]:
        return targets.targets()

    def rules(self) -> Mapping[str, Rule]:
        from .lint import RULES

        return RULES

    def lint(self, graph: onnx.ModelProto, target: str, scheme: str) -> Sequence[Finding]:
        from .lint import lint

        return lint(graph, target, scheme)

    def lint_bundle(
        self, bundle: Bundle, target: str, scheme: str
    ) -> Mapping[str, Sequence[Finding]]:
        from .lint_bundle import lint_bundle

        return lint_bundle(bundle, target, scheme)

    def prepare(self, work: Work, schemes: Schemes) -> Work:
        from .prepare import prepare

        return prepare(work, schemes)

    def jobs(self, work: Work, target: str, scheme: str) -> Sequence[Job]:
        from .convert import jobs

        return jobs(work, target, scheme)

    def form(self, work: Work, name: str, steps: int) -> Any:
        from .convert import form

        return form(work, name, steps)

    def findings(self, work: Work, form: Any, target: str, scheme: str) -> Sequence[Finding]:
        return self.lint(form.graph, target, scheme)

    def convert(self, work: Work, job: Job, form: Any, log_file: Path) -> Converted:
        from .convert import convert

        return convert(work, job, form, log_file)

    def notes(self, work: Work, kept: Job) -> Sequence[str]:
        from .convert import notes

        return notes(work, kept)

    def traced(self, work: Work, artifact: Artifact, rows: Any) -> Sequence[Traced]:
        from .trace import traced

        return traced(work, artifact, rows)

    def pack(self, work: Work, artifact: Artifact, shared: Mapping[str, bytes]) -> Packed:
        from .pack import pack

        return pack(artifact, shared)

    def figures(self, work: Work) -> Mapping[str, tuple[str, Figure]]:
        from .figures import figures

        return figures(work)


VENDOR = Rockchip()
