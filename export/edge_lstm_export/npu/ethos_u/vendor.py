"""Arm Ethos-U, as a vendor of NPUs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_lstm_runtime import ConversionError
from edge_lstm_runtime.backends.tosa.backend import KIND

from ..converted import Converted, Job, Packed, Traced
from ..finding import Finding, Rule
from ..in_c import InC
from ..target import Table, Target
from ..targets import find
from ..vendor import Vendor
from . import targets
from .conversion import FORMS
from .environment import ENVIRONMENT
from .in_c import c_source
from .lint import RULES, findings, refused

if TYPE_CHECKING:
    from edge_lstm_runtime import Bundle

    from ...work import Artifact, Work


@dataclasses.dataclass(frozen=True)
class Form:
    """A form of the step. The same network is offered in all of them."""

    name: str
    steps: int = 1

    @property
    def label(self) -> str:
        return self.name


class EthosU(Vendor):
    name = targets.NAME
    title = "Arm Ethos-U"
    models = "Ethos-U"
    kind = KIND
    simulator = "tosa"
    source = "TOSA's integers on NumPy, not a board"
    columns = (("target", 18), ("schemes", 13), ("estimated for", 47), ("boards", 0))
    legend = (
        "estimated for: Vela's system configuration and memory mode. A board is a target too, with "
        "its makers'. ?: unknown."
    )
    cycles = "cycles (Vela's estimate)"
    environment = ENVIRONMENT
    in_c = True

    @property
    def table(self) -> Table:
        return targets.table()

    def targets(self) -> Mapping[str, Target]:
        return targets.targets()

    def rules(self) -> Mapping[str, Rule]:
        return RULES

    def lint_bundle(
        self, bundle: Bundle, target: str, scheme: str
    ) -> Mapping[str, Sequence[Finding]]:
        find(target, scheme)
        return {"the network": findings(bundle.spec)}

    def jobs(self, work: Work, target: str, scheme: str) -> Sequence[Job]:
        found = [Job(target, scheme, form) for form in FORMS[scheme]]
        return [*found, Job(target, scheme, FORMS[scheme][0], work.chunk)] if work.chunk else found

    def form(self, work: Work, name: str, steps: int) -> Form:
        if reason := refused(work.spec):
            raise ConversionError(reason)
        if steps > 1:
            raise ConversionError("Ethos-U has no form of several steps here")
        return Form(name)

    def findings(self, work: Work, form: Any, target: str, scheme: str) -> Sequence[Finding]:
        return findings(work.spec)

    def convert(self, work: Work, job: Job, form: Any, log_file: Path) -> Converted:
        from .convert import convert

        return convert(work, job, log_file)

    def traced(self, work: Work, artifact: Artifact, rows: Any) -> Sequence[Traced]:
        made: Any = artifact.converter
        found: Sequence[Traced] = made.trace(rows)
        return found

    def pack(self, work: Work, artifact: Artifact, shared: Mapping[str, bytes]) -> Packed:
        from .pack import pack

        return pack(artifact)

    def c_source(self, bundle: Bundle, member: str, rows: Any) -> InC:
        return c_source(bundle, member, rows)


VENDOR = EthosU()
