"""Step 9: the converters of the NPUs' vendors.

For each target and scheme every form is linted, converted and streamed on the simulator. The form
that is kept is the cheapest of those that are good over the golden stream, by the converter's own
estimate of its cycles. If none is good, it is the most accurate. If a converter can't run, the
bundle is made without it and says so.

A form that the converter says it can't convert is refused. A converter that dies without an answer,
killed or crashed, is started once more. If it dies again, the bundle is made without that form,
which is a doubt: see `Work.doubt`.

A form of several steps, which a chunk asks for, is a further artifact of each pair. If it can't be
made, a note says why. For a network that needs whole sequences it is the only artifact.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from functools import partial

from edge_lstm_runtime import ConversionError, compare
from edge_lstm_runtime.errors import ConverterDiedError
from edge_lstm_runtime.verify.golden import run_sequences

from ..measure import tolerances
from ..npu.converted import Converted, Form, Job
from ..npu.targets import by_vendor
from ..npu.vendor import Schemes, Vendor
from ..npu.worker.process import once_more
from ..work import Artifact, Candidate, Float32, Work

Forms = Mapping[tuple[str, int], Form | str]  # by name and steps; the reason if there is none


def call(work: Work) -> Work:
    for vendor, schemes in by_vendor(work.schemes):
        work = _converted(work, vendor, schemes)
    return work


def _converted(work: Work, vendor: Vendor, schemes: Schemes) -> Work:
    """With the artifacts of a vendor."""
    if reason := vendor.unsupported_reason():
        note = (
            f"no {vendor.models} model for {' and '.join(schemes)} was made: {reason}. "
            "The bundle runs on NumPy and ONNX Runtime; make it there to add the NPU."
        )
        work.say(note)
        return dataclasses.replace(work, notes=(*work.notes, note))
    pairs = [(target, scheme) for target, formats in schemes.items() for scheme in formats]
    jobs = [job for target, scheme in pairs for job in vendor.jobs(work, target, scheme)]
    keys = dict.fromkeys((job.form, job.steps) for job in jobs)
    forms = {key: _form(work, vendor, *key) for key in keys}
    if any(not isinstance(form, str) for form in forms.values()):
        vendor.make_ready(work.say)  # made once, before several conversions ask for it
    # If a slow form began last, cores would wait.
    order = sorted(jobs, key=lambda job: not job.slow)
    found = work.batch.side_by_side(partial(_try, work, vendor, forms), order)
    tried = [found[order.index(job)] for job in jobs]
    made = _Made(work, vendor, forms)
    for pair in pairs:
        own = [c for c in tried if (c.target, c.scheme) == pair]
        if single := [c for c in own if c.steps == 1]:
            made.keep_best(single)
        for one in own:
            if one.steps != 1:
                made.keep_chunk(one)
    work = dataclasses.replace(
        work,
        artifacts={**work.artifacts, **made.artifacts},
        candidates={**work.candidates, **made.candidates},
        notes=(*work.notes, *made.notes),
    )
    for one in tried:
        if one.died:
            several = f" of {one.steps} steps" if one.steps > 1 else ""
            work = work.doubt(
                f"{one.target} {one.scheme} was made without the form {one.form}{several}, because "
                f"{one.refused}; the same command may choose it another time: run it again"
            )
    return work


@dataclasses.dataclass
class _Made:
    """The artifacts so far, and the candidates of each, by member."""

    work: Work
    vendor: Vendor
    forms: Forms
    notes: list[str] = dataclasses.field(default_factory=list)
    artifacts: dict[str, Artifact] = dataclasses.field(default_factory=dict)
    candidates: dict[str, tuple[Candidate, ...]] = dataclasses.field(default_factory=dict)

    def keep_best(self, mine: list[Candidate]) -> None:
        """One of the candidates of one step of a pair. Closes the others."""
        kept = _choose(mine)
        member = f"{kept.target}-{kept.scheme}.{self.vendor.kind}"
        self._keep(member, kept, mine)
        job = Job(kept.target, kept.scheme, kept.form)
        form = self.artifacts[member].form
        warnings = self.vendor.findings(self.work, form, kept.target, kept.scheme)
        for text in (*self.vendor.notes(self.work, job), *warnings):
            self._note(f"{member}: {text}")
        for other in mine:
            if other is not kept and other.converter is not None:
                other.converter.close()

    def keep_chunk(self, one: Candidate) -> None:
        """The candidate of several steps of a pair, unless it was refused."""
        kind = self.vendor.kind
        member = f"{one.target}-{one.scheme}-t{one.steps}.{kind}"
        if one.refused:
            self._note(f"{member} was not made: {one.refused}")
            return
        one.why = (
            f"the only form for sequences of {one.steps}"
            if self.work.spec.whole
            else f"asked for, beside {one.target}-{one.scheme}.{kind}"
        )
        self._keep(member, one, [one])

    def _keep(self, member: str, kept: Candidate, tried: list[Candidate]) -> None:
        form = self.forms[kept.form, kept.steps]
        assert not isinstance(form, str)
        assert kept.converter is not None
        assert kept.outputs is not None
        self.candidates[member] = tuple(tried)
        self.artifacts[member] = Artifact(
            kept.target,
            kept.scheme,
            form,
            kept.converter,
            kept.outputs,
            self.vendor.simulated(member),
        )

    def _note(self, text: str) -> None:
        self.notes.append(text)
        self.work.say(f"  {text}")


def _form(work: Work, vendor: Vendor, name: str, steps: int) -> Form | str:
    """The form, or the reason why this network doesn't have it."""
    try:
        return vendor.form(work, name, steps)
    except ConversionError as e:
        return str(e)


def _try(work: Work, vendor: Vendor, forms: Forms, job: Job) -> Candidate:
    target = job.target
    scheme = job.scheme
    form = forms[job.form, job.steps]
    candidate = partial(Candidate, target, scheme, job.form, steps=job.steps)
    if isinstance(form, str):
        return candidate(refused=form)
    start = time.perf_counter()
    label = f"{target} {scheme} {form.label}"
    findings = vendor.findings(work, form, target, scheme)
    if errors := [finding for finding in findings if finding.level == "error"]:
        return candidate(refused=f"{errors[0].rule}: {errors[0].message}")
    log_file = work.out.with_name(f"{work.out.stem}-{target}-{scheme}-{form.label}.log")

    def converted() -> tuple[Converted, Float32]:
        converter = vendor.convert(work, job, form, log_file)
        work.resources.callback(converter.close)
        try:
            backend = converter.backend(work.weights)
            return converter, run_sequences(backend, work.rows, work.lengths)
        except BaseException:
            converter.close()
            raise

    try:
        converter, outputs = once_more(converted, work.say)
    except ConversionError as e:
        work.say(f"  {label}: {e}")
        return candidate(refused=str(e), died=isinstance(e, ConverterDiedError))
    comparison = compare(outputs, work.reference)
    seconds = time.perf_counter() - start
    error = f"NRMSE {comparison.nrmse:.1e} over the golden samples"
    work.say(f"  {label}: {error} ({seconds:.1f} s)")
    return candidate(
        comparison=comparison,
        cycles=converter.cycles,
        on_cpu=converter.on_cpu,
        converter=converter,
        outputs=outputs,
    )


def _choose(mine: list[Candidate]) -> Candidate:
    """Marks the kept one, with the reason. Raises ConversionError if every form was refused."""
    converted = [c for c in mine if c.comparison is not None]
    if not converted:
        first = mine[0]
        reasons = {c.refused for c in mine}
        if len(mine) > len(reasons) == 1:
            raise ConversionError(f"{first.target} {first.scheme} can't be made: {first.refused}")
        raise ConversionError(
            f"{first.target} {first.scheme} can't be made: "
            + "; ".join(f"{c.form}: {c.refused}" for c in mine)
        )
    limit = tolerances.good(mine[0].scheme)
    within = f"within NRMSE {limit:g} over the golden samples"
    right = [c for c in converted if c.nrmse <= limit]
    if right:
        kept = min(right, key=lambda c: (c.on_cpu, c.cycles is None, c.cycles or 0, c.nrmse))
        cost = f"{kept.cycles} cycles" if kept.cycles is not None else "cycles not known"
        facts = f"{cost}, {len(right)} of {len(mine)} forms within"
        kept.why = f"{_what_is_best(kept, right)} {within} ({facts})"
    else:
        kept = min(converted, key=lambda c: c.nrmse)
        kept.why = f"the most accurate; none is {within}"
    return kept


def _what_is_best(kept: Candidate, right: list[Candidate]) -> str:
    """Words on the kept one that fit the others' figures beside it."""
    alike = [c for c in right if c.on_cpu == kept.on_cpu]  # the others have more on the CPU
    if len(right) == 1:
        return "the only one"
    if len(alike) == 1:
        return "the one with the fewest operators on the CPU"
    best = "the most accurate" if kept.cycles is None else "the cheapest"
    return best if len(alike) == len(right) else f"{best} with the fewest operators on the CPU"
