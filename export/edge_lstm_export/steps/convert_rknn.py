"""Step 9: the vendor's converter.

For each target and scheme every form is linted, converted and streamed on the simulator. The form
that is kept is the cheapest of those that are good over the golden stream, by the cycles in the
converter's own table of operators. If none is good, it is the most accurate. If the converter can't
run, the bundle is made without it and says so.

A form that the converter says it can't convert is refused. A converter that dies without an answer,
killed or crashed, is started once more. If it dies again, the bundle is made without that form,
which is a doubt: see `Work.doubt`.

With a chunk of T steps, ONNX's operators over T steps are a further artifact of each pair. If it
can't be made, a note says why. For a network that needs whole sequences it is the only artifact.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from functools import partial

from edge_lstm_runtime import ConversionError, compare
from edge_lstm_runtime.errors import ConverterDiedError
from edge_lstm_runtime.verify.golden import run_sequences

from ..graphs.form import Form
from ..graphs.npu import FORMS, candidates, whole
from ..graphs.step import FORM
from ..graphs.step_npu import four_d
from ..measure import tolerances
from ..npu.rknn.conversion import Conversion
from ..npu.rknn.environment import python, unsupported_reason
from ..npu.rknn.lint import lint
from ..npu.rknn.process import Converter, once_more
from ..npu.rknn.sim import simulated
from ..work import Artifact, Candidate, Float32, Work
from .calibrate import learned

Forms = Mapping[tuple[str, int], Form | str]  # by name and steps; the reason if there is none
Job = tuple[str, str, str, int]  # target, scheme, form, steps


def call(work: Work) -> Work:
    if not work.schemes:
        return work
    if reason := unsupported_reason():
        note = (
            f"no RKNN model for {' and '.join(work.schemes)} was made: {reason}. "
            "The bundle runs on NumPy and ONNX Runtime; make it there to add the NPU."
        )
        work.say(note)
        return dataclasses.replace(work, notes=(*work.notes, note))
    python(work.say)  # made once, before several conversions ask for it
    pairs = [(target, scheme) for target, schemes in work.schemes.items() for scheme in schemes]
    jobs = [(t, s, form, 1) for t, s in pairs for form in _candidates(work, t, s)]
    if work.chunk:
        jobs += [(t, s, "fused", work.chunk) for t, s in pairs]
    forms = {key: _form(work, *key) for key in dict.fromkeys((form, n) for _, _, form, n in jobs)}
    # A fused form takes more than twice as long as another. If it began last, cores would wait.
    order = sorted(jobs, key=lambda job: job[2] != "fused")
    found = work.batch.side_by_side(partial(_try, work, forms), order)
    tried = [found[order.index(job)] for job in jobs]
    made = _Made(work, forms, notes=list(work.notes))
    for pair in pairs:
        own = [c for c in tried if (c.target, c.scheme) == pair]
        if single := [c for c in own if c.steps == 1]:
            made.keep_best(single)
        for one in own:
            if one.steps != 1:
                made.keep_chunk(one)
    work = dataclasses.replace(
        work, artifacts=made.artifacts, candidates=made.candidates, notes=tuple(made.notes)
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
    forms: Forms
    notes: list[str]
    artifacts: dict[str, Artifact] = dataclasses.field(default_factory=dict)
    candidates: dict[str, tuple[Candidate, ...]] = dataclasses.field(default_factory=dict)

    def keep_best(self, mine: list[Candidate]) -> None:
        """One of the candidates of one step of a pair. Closes the others."""
        kept = _choose(mine)
        member = f"{kept.target}-{kept.scheme}.rknn"
        self._keep(member, kept, mine)
        if (kept.form, kept.scheme) == ("packed", "w8a8") and self.work.run.w8a8:
            self._note(
                f"{member}: weights and ranges are those that it was fine-tuned with"
                if learned(self.work.run)
                else f"{member}: the run was fine-tuned for an earlier form of the int8 cell; its "
                "ranges are not used"
            )
        for warning in lint(self.artifacts[member].form.graph, kept.target, kept.scheme):
            self._note(f"{member}: {warning}")
        for other in mine:
            if other is not kept and other.converter is not None:
                other.converter.close()

    def keep_chunk(self, one: Candidate) -> None:
        """The candidate of several steps of a pair, unless it was refused."""
        member = f"{one.target}-{one.scheme}-t{one.steps}.rknn"
        if one.refused:
            self._note(f"{member} was not made: {one.refused}")
            return
        one.why = (
            f"the only form for sequences of {one.steps}"
            if self.work.spec.whole
            else f"asked for, beside {one.target}-{one.scheme}.rknn"
        )
        self._keep(member, one, [one])

    def _keep(self, member: str, kept: Candidate, tried: list[Candidate]) -> None:
        form = self.forms[kept.form, kept.steps]
        assert isinstance(form, Form)
        assert kept.converter is not None
        assert kept.outputs is not None
        self.candidates[member] = tuple(tried)
        self.artifacts[member] = Artifact(
            kept.target, kept.scheme, form, kept.converter, kept.outputs
        )

    def _note(self, text: str) -> None:
        self.notes.append(text)
        self.work.say(f"  {text}")


def _candidates(work: Work, target: str, scheme: str) -> tuple[str, ...]:
    """The forms of one step that are tried."""
    if work.spec.whole:
        return ()
    return candidates(target, scheme) if work.step is None else (FORM,)


def _form(work: Work, name: str, steps: int) -> Form | str:
    """The form, or the reason why this network doesn't have it."""
    spec = work.spec
    weights = work.weights
    several = {"steps": steps} if steps > 1 else {}
    try:
        if work.step is not None:
            return four_d(spec, work.step.model, work.rows)
        if spec.whole:
            return whole(spec, weights, steps)
        return FORMS[name](spec, weights, work.calibration, products=work.products, **several)
    except ConversionError as e:
        return str(e)


def _try(work: Work, forms: Forms, job: Job) -> Candidate:
    target, scheme, name, steps = job
    form = forms[name, steps]
    candidate = partial(Candidate, target, scheme, name, steps=steps)
    if isinstance(form, str):
        return candidate(refused=form)
    start = time.perf_counter()
    label = f"{target} {scheme} {form.label}"
    errors = [finding for finding in lint(form.graph, target, scheme) if finding.level == "error"]
    if errors:
        return candidate(refused=f"{errors[0].rule}: {errors[0].message}")
    log_file = work.out.with_name(f"{work.out.stem}-{target}-{scheme}-{form.label}.log")
    graph = form.graph.SerializeToString()
    conversion = Conversion(work.spec, graph, form.recipe, target, scheme, work.calibration)

    def converted() -> tuple[Converter, Float32]:
        converter = Converter(conversion, say=work.say, log_file=log_file, batch=work.batch)
        work.resources.callback(converter.close)
        try:
            backend = simulated(converter, work.weights)
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
    cycles = converter.cycles
    on_cpu = sum(row["target"] == "CPU" for row in converter.inner_operators)
    seconds = time.perf_counter() - start
    error = f"NRMSE {comparison.nrmse:.1e} over the golden samples"
    work.say(f"  {label}: {error} ({seconds:.1f} s)")
    return candidate(
        comparison=comparison, cycles=cycles, on_cpu=on_cpu, converter=converter, outputs=outputs
    )


def _choose(mine: list[Candidate]) -> Candidate:
    """Marks the kept one, with the reason. Raises ConversionError if every form was refused."""
    converted = [c for c in mine if c.comparison is not None]
    if not converted:
        first = mine[0]
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
