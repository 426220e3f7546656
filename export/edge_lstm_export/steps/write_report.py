"""Step 12: one self-contained HTML file: no script, no network, every picture inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_lstm.compact import sentence
from edge_lstm.plots import plot_confusion, plot_curves, plot_test
from edge_lstm_runtime import ConversionError
from edge_lstm_runtime.files import atomic_write

from .. import page
from ..plots import plot_convergence, plot_errors, plot_inspection, plot_stream
from ..work import SIMULATOR, Work
from .evaluate_task import CARRIED
from .inspect_rknn import TRACED_STEPS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = {
    "classify": {"accuracy": "accuracy, last step", "macro_f1": "macro F1", "accuracy_all_steps": "accuracy, every step"},
    "forecast": {"mae": "MAE", "rmse": "RMSE", "nrmse": "NRMSE"},
    "regress": {"mae": "MAE, every step", "rmse": "RMSE, every step", "mae_last": "MAE, last step", "rmse_last": "RMSE, last step"},
    "language": {"bits_per_character": "bits per character", "perplexity": "perplexity", "accuracy": "accuracy of the likeliest"},
}

WORDS = {"rmse": "RMSE", "bits_per_character": "bits per character"}


def call(work: Work) -> Work:
    assert work.bundle is not None, "the report is written after the bundle"
    html = page.render(
        "report.html.j2",
        name=work.out.stem,
        spec=work.spec,
        manifest=work.bundle.manifest,
        accuracy=work.accuracy,
        judgements=work.judgements,
        lengths=work.lengths,
        worst={name: np.abs(a.outputs - work.reference).max(axis=0).tolist() for name, a in work.accuracy.items()},
        shown=SHOWN[work.spec.task],
        trained=work.run.metrics["test"],
        verdict=verdict(work),
        figures={name: (caption, page.png(figure)) for name, (caption, figure) in _figures(work).items()},
        inspected={name: page.png(plot_inspection(i)) for name, i in work.inspections.items()},
        traced_steps=TRACED_STEPS,
        bundle_bytes=work.out.stat().st_size,
        config=work.run.config.to_toml(),
    )
    try:
        with atomic_write(work.out.with_suffix(".html")) as file:
            file.write(html.encode())
    except OSError as e:
        raise ConversionError(f"the bundle {work.out} is written, but not its report: {e.strerror or e}") from e
    return work


def verdict(work: Work) -> list[str]:
    """What a reader must know, a sentence for each thing."""
    numpy = work.metrics["numpy"]
    sentences = []
    if work.spec.task != "classify":
        sentences.append(numpy["verdict"])
    else:
        count = numpy["sequences"]
        sentences.append(
            f"On the {count} recordings of the test split the answer at the last step is right in {100 * numpy['accuracy']:.1f} %."
        )
    if rows := work.run.metrics.get("compact"):
        sentences.append(sentence(rows))
    key = {"classify": "accuracy", "language": "bits_per_character"}.get(work.spec.task, "rmse")
    if carried := work.metrics.get(f"numpy, {CARRIED}"):
        sentences.append(_carried_sentence(numpy, carried))
    for name, metrics in work.metrics.items():
        if name not in work.accuracy or name == "numpy":
            continue
        change = (
            f"{100 * (metrics[key] - numpy[key]):+.1f} points of accuracy"
            if key == "accuracy"
            else f"{100 * (metrics[key] / numpy[key] - 1) if numpy[key] else 0:+.1f} % {WORDS[key]}"
        )
        where = f"{name.removeprefix(SIMULATOR)} on the simulator"
        if not name.startswith(SIMULATOR):
            where = f"{name} on this machine's CPU"
        against = f"{change} against float32, reset at each recording"
        sentences.append(f"{where} is {work.judgements[name].sentence}. {against}.")
    return [*sentences, *work.notes]


def _carried_sentence(reset: Mapping[str, Any], carried: Mapping[str, Any]) -> str:
    if "bits_per_character" in reset:
        change = f"it takes {carried['bits_per_character']:.4g} bits per character instead of {reset['bits_per_character']:.4g}"
        worse = carried["bits_per_character"] > 1.02 * reset["bits_per_character"]
    elif "accuracy" in reset:
        change = f"{100 * carried['accuracy']:.1f} % of the answers are right"
        worse = carried["accuracy"] < reset["accuracy"] - 0.02
    else:
        change = f"the RMSE is {carried['rmse']:.4g} instead of {reset['rmse']:.4g}"
        worse = carried["rmse"] > 1.02 * reset["rmse"]
    advice = " Reset it at the start of each recording (`--reset-every`, `Session.reset`), or train with a larger `carry`." if worse else ""
    return f"When the state is never reset, {change}.{advice}"


def _figures(work: Work) -> dict[str, tuple[str, Figure]]:
    figures = {"curves": ("Training", plot_curves(work.run.history))}
    metrics = work.metrics["numpy"]
    if work.spec.task == "classify":
        figures["confusion"] = ("Test split, answer at the last step, float32", plot_confusion(metrics["confusion"], work.spec.classes))
    else:
        figures["truth"] = ("Test split, float32", plot_test(work.spec, work.run.splits.test, work.answers))
    outputs = {name: a.outputs for name, a in work.accuracy.items()}
    how = "one sequence after the other" if work.spec.bidirectional else "while the state is carried"
    figures["errors"] = (f"Error against the float64 reference, {how}", plot_errors(outputs, work.reference))
    figures["stream"] = ("The golden stream, output by output", plot_stream(outputs, work.reference, work.spec.output_names))
    if work.convergence:
        caption = f"How many calibration samples the int8 cell needs: {len(work.calibration['x'])} were taken"
        figures["calibration"] = (caption, plot_convergence(work.convergence, len(work.calibration["x"])))
    return figures
