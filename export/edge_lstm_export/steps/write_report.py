"""Step 15: one self-contained HTML file: no script, no network, every picture inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_lstm.data.windows import logarithmic
from edge_lstm.results.metrics import IN_UNITS, NAMED, titled
from edge_lstm.results.plots import plot_curves
from edge_lstm.results.sizes import sentence
from edge_lstm.tasks.base import Task, task_of
from edge_lstm_runtime import ConversionError
from edge_lstm_runtime.files import atomic_write, failure
from edge_lstm_runtime.model.measured import Measured

from ..measure.estimate import estimates
from ..measure.speed import machine
from ..npu.targets import by_vendor, vendor_of
from ..report import page
from ..report.glossary import words_on
from ..report.plots import plot_errors, plot_inspection, plot_stream
from ..work import Inspection, Work
from .inspect import TRACED_STEPS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_COLUMNS = 12  # of metrics
HOW = "(`--reset-every`, `Session.reset`)"
ADVICE = f" Reset it at the start of each sequence {HOW}"


def call(work: Work) -> Work:
    assert work.bundle is not None, "the report is written after the bundle"
    html = page.render(
        "report.html.j2",
        name=work.out.stem,
        spec=work.spec,
        manifest=work.bundle.manifest,
        accuracy=work.accuracy,
        numpy=work.base,
        reference=None if work.step is None else work.step.words,
        judgements=work.judgements,
        lengths=work.lengths,
        worst={
            name: np.abs(a.outputs - work.reference).max(axis=0).tolist()
            for name, a in work.accuracy.items()
        },
        metrics=_metrics(work),
        verdict=[*_first(work), *_in_short(work), *_notes(work)],
        judged=judged(work),
        recommended=work.recommended,
        speeds=work.speeds,
        counted=work.counted,
        # Of a net that the C kernel runs.
        estimates=estimates(work.spec.network.macs_per_step) if work.counted else [],
        machine=machine(),
        detail=task_of(work.spec).detail(work.metrics[work.base]),
        figures={name: page.picture(*drawn) for name, drawn in _figures(work).items()},
        of_vendors=_of_vendors(work),
        # The titles of the cycles in the tables of operators.
        cycles={member: vendor_of(a.target).cycles for member, a in work.artifacts.items()},
        inspected={
            name: page.picture(_inspected(i), plot_inspection(i))
            for name, i in work.inspections.items()
        },
        bundle_bytes=work.out.stat().st_size,
        config=work.run.origin,
        trained=bool(work.run.history),
        synthetic=work.run.synthetic,
        tested=sum(len(sequence.x) for sequence in work.run.splits.test),
    )
    words = page.render("glossary.html.j2", words=words_on(html))
    html = html.replace("<!-- words -->", words)
    try:
        with atomic_write(work.out.with_suffix(".html")) as file:
            file.write(html.encode())
    except OSError as e:
        raise ConversionError(
            f"the bundle {work.out} is written, but not its report: {failure(e)}"
        ) from e
    return work


def _inspected(found: Inspection) -> str:
    """The caption of its picture."""
    tensors = f"of every tensor over {TRACED_STEPS} streamed steps, and " * bool(found.tensors)
    return (
        f"Error against the float64 reference: {tensors}of the outputs over the same "
        f"{found.window:,} golden samples {len(found.drift)} times, the state never reset"
    )


def verdict(work: Work) -> list[str]:
    """What a reader must know, a sentence for each thing."""
    return [*_first(work), *judged(work), *_notes(work)]


def _first(work: Work) -> list[str]:
    """On the task."""
    task = task_of(work.spec)
    numpy = work.metrics[work.base]
    sentences = task.verdict(numpy)
    if rows := work.run.metrics.get("compact"):
        sentences.append(sentence(rows))
    if carried := work.metrics.get(work.base.never_reset()):
        sentences.append(carried_sentence(task, numpy, carried, imported=work.run.imported))
    return sentences


def judged(work: Work) -> list[str]:
    """On each model in fewer bits."""
    return [f"{_placed(work, n)} is {j.sentence}." for n, j in work.judgements.items()]


def _in_short(work: Work) -> list[str]:
    """The same without figures."""
    by_verdict: dict[str, list[str]] = {}
    for name, judgement in work.judgements.items():
        by_verdict.setdefault(judgement.verdict, []).append(_placed(work, name))
    told = []
    for verdict, names in by_verdict.items():
        listed = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
        told.append(f"{listed} {'is' if len(names) == 1 else 'are'} {verdict}")
    return [f"In fewer bits, {'; '.join(told)}."] if told else []


def _placed(work: Work, name: Measured) -> str:
    if name.member in work.artifacts:
        return f"{name.member} on the simulator"
    return f"{name} on this machine's CPU"


def _notes(work: Work) -> list[str]:
    return [*work.run.metrics.get("notes", []), *work.notes]


def carried_sentence(
    task: Task, reset: Mapping[str, Any], carried: Mapping[str, Any], *, imported: bool = False
) -> str:
    """The figures of the test split as one stream, each beside the one with resets."""
    parts, worse = task.carried(reset, carried)
    told = (f"{words} {now} (reset at each sequence: {before})" for words, now, before in parts)
    otherwise = "" if imported else ", or train with a larger `carry`"
    advice = f"{ADVICE}{otherwise}." if worse else ""
    return f"When the state is never reset, {', '.join(told)}.{advice}"


def _metrics(work: Work) -> list[tuple[str, dict[str, float | None], str]]:
    """Rows of a table: the title, the figures by their titles, where they are from."""
    task = task_of(work.spec)
    measured = work.run.metrics["test"]
    titles = _columns({n: title for n, title in task.titles.items() if n in measured}, measured)
    trained = titled(measured, titles)
    title, source = work.run.measured_by
    rows = [(title, trained, source)]
    for backend, found in work.metrics.items():
        source = work.accuracy[backend.reset()].source
        judgement = work.judgements.get(backend.reset())
        if judgement is not None and not judgement.streamed.whole:
            source += f"; over {judgement.streamed.words()}"
        rows.append((str(backend), titled(found, titles), source))
    numpy = work.metrics[work.base]
    rows += _by_recording(str(work.base), numpy, titles, work.accuracy[work.base].source)
    for name, found in numpy.get("baselines", {}).items():
        title = task.simple[name]
        rows.append((title, titled(found, titles), "no model"))
        rows += _by_recording(title, found, titles, "no model")
    return rows


def _columns(titles: dict[str, str], measured: Mapping[str, Any]) -> dict[str, str]:
    """Of many targets the errors in their units are in the table of `Task.detail` alone."""
    common = {name: title for name, title in titles.items() if name not in IN_UNITS}
    many = len(titled(measured, titles)) > MOST_COLUMNS
    return common if common and many else titles


def _by_recording(
    title: str, found: Mapping[str, Any], titles: Mapping[str, str], source: str
) -> list[tuple[str, dict[str, float | None], str]]:
    """A row for each recording, if they are few."""
    each = found.get("per_recording", [])
    few = each if 1 < len(each) <= NAMED else []
    return [(f"{title}, {row['name']} alone", titled(row, titles), source) for row in few]


def _figures(work: Work) -> dict[str, tuple[str, Figure]]:
    figures = {}
    if work.run.history:
        figures["curves"] = (
            "Training",
            plot_curves(work.run.history, logarithmic=logarithmic(work.spec)),
        )
    task = task_of(work.spec)
    metrics = work.metrics[work.base]
    drawn = task.draw(work.spec, work.run.splits.test, work.answers, metrics)
    figures["test"] = (task.caption, drawn)
    outputs = {str(name): a.outputs for name, a in work.accuracy.items()}
    # Those in float32 lie on the reference's line.
    shown = [str(n) for n in work.accuracy if n in work.judgements or not work.judgements]
    how = "one sequence after the other" if work.spec.whole else "while the state is carried"
    figures["errors"] = (
        f"Error against the float64 reference, {how}",
        plot_errors(outputs, work.reference),
    )
    figures["stream"] = (
        "The golden stream: the network's outputs, before scaling to units",
        plot_stream(outputs, shown, work.reference, work.spec.answer.names),
    )
    return figures


def _of_vendors(work: Work) -> dict[str, page.Picture]:
    """Title -> picture."""
    drawn: dict[str, page.Picture] = {}
    for vendor, _ in by_vendor(work.schemes):
        drawn |= {title: page.picture(*one) for title, one in vendor.figures(work).items()}
    return drawn
