"""Step 12: one self-contained HTML file: no script, no network, every picture inside."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_lstm.results.metrics import titled
from edge_lstm.results.plots import plot_confusion, plot_curves, plot_test
from edge_lstm.results.sizes import sentence
from edge_lstm_runtime import ConversionError
from edge_lstm_runtime.files import atomic_write

from ..measure.keys import NUMPY
from ..report import page
from ..report.plots import plot_convergence, plot_errors, plot_inspection, plot_stream
from ..work import Work
from .inspect_rknn import TRACED_STEPS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = {
    "classify": {"accuracy": "accuracy, last step", "macro_f1": "macro F1", "accuracy_all_steps": "accuracy, every step"},
    "forecast": {"mae": "MAE", "rmse": "RMSE", "nrmse": "NRMSE"},
    "regress": {"mae": "MAE, every step", "rmse": "RMSE, every step", "mae_last": "MAE, last step", "rmse_last": "RMSE, last step"},
    "language": {"bits_per_character": "bits per character", "perplexity": "perplexity", "accuracy": "accuracy of the likeliest"},
}

LAST = "at the last step of each recording"
HOW = "(`--reset-every`, `Session.reset`)"
ADVICE = f" Reset it at the start of each recording {HOW}, or train with a larger `carry`."


def call(work: Work) -> Work:
    assert work.bundle is not None, "the report is written after the bundle"
    html = page.render(
        "report.html.j2",
        name=work.out.stem,
        spec=work.spec,
        manifest=work.bundle.manifest,
        accuracy=work.accuracy,
        numpy=NUMPY,
        judgements=work.judgements,
        lengths=work.lengths,
        worst={name: np.abs(a.outputs - work.reference).max(axis=0).tolist() for name, a in work.accuracy.items()},
        metrics=_metrics(work),
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
    numpy = work.metrics[NUMPY]
    sentences = []
    if work.spec.task != "classify":
        sentences += numpy["verdict"].splitlines()
    else:
        last, every = _percent(numpy["accuracy"]), _percent(numpy["accuracy_all_steps"])
        sentences.append(
            f"On the {numpy['sequences']} recordings of the test split the answer at the last step "
            f"is right in {last}, and over all {numpy['steps']:,} steps in {every}."
        )
    if rows := work.run.metrics.get("compact"):
        sentences.append(sentence(rows))
    if carried := work.metrics.get(NUMPY.never_reset()):
        sentences.append(_carried_sentence(numpy, carried))
    for name, metrics in work.metrics.items():
        if name not in work.accuracy or name == NUMPY:
            continue
        where = f"{name.member} on the simulator" if name.member in work.artifacts else f"{name} on this machine's CPU"
        against = f"{_change(metrics, numpy)} against float32, reset at each recording"
        sentences.append(f"{where} is {work.judgements[name].sentence}. {against}.")
    return [*sentences, *work.notes]


def _percent(share: float) -> str:
    """100.0 % is said of all alone."""
    text = f"{100 * share:.1f} %"
    return "more than 99.9 %" if text == "100.0 %" and share < 1 else text


def _signed(value: float) -> str:
    return f"{round(value, 1) + 0.0:+.1f}"  # no -0.0


def _more(value: float, than: float) -> float:
    """In percent."""
    if than:
        return 100 * (value / than - 1)
    return math.inf if value else 0.0


def _errors(found: Mapping[str, Any]) -> dict[str, str]:
    """The errors of each target that sentences speak of -> over which steps they are."""
    if "rmse_last" in found:
        return {"rmse": " over all steps", "rmse_last": f" {LAST}"}
    return {"rmse": ""}


def _change(found: Mapping[str, Any], float32: Mapping[str, Any]) -> str:
    """What a backend makes of the task's metric."""
    if "bits_per_character" in found:
        bits = _more(found["bits_per_character"], float32["bits_per_character"])
        return f"{_signed(bits)} % bits per character"
    if "accuracy_all_steps" in found:
        keys = ("accuracy", "accuracy_all_steps")
        last, every = (_signed(100 * (found[key] - float32[key])) for key in keys)
        return f"{last} points of accuracy {LAST} and {every} over all steps"
    parts, targets = [], found["per_target"]
    for key, where in _errors(found).items():
        before = {name: each[key] for name, each in float32["per_target"].items()}
        changes = {name: _more(each[key], before[name]) for name, each in targets.items()}
        most = max(changes, key=lambda name: changes[name])
        of = "" if len(targets) == 1 else f" of {most}, the most of {len(targets)} targets,"
        parts.append(f"{_signed(changes[most])} % RMSE{of}{where}")
    return " and ".join(parts)


def _carried_sentence(reset: Mapping[str, Any], carried: Mapping[str, Any]) -> str:
    """The figures of the test split as one stream, each beside the one with resets."""
    parts: list[tuple[str, str, str]] = []  # words, figure, figure with a reset
    worse = False
    if "bits_per_character" in reset:
        bits, before = carried["bits_per_character"], reset["bits_per_character"]
        parts.append(("a character takes", f"{bits:.4g} bits", f"{before:.4g}"))
        worse = bits > 1.02 * before
    elif "accuracy_all_steps" in reset:
        shares = {
            "accuracy": f"the answer {LAST} is right in",
            "accuracy_all_steps": f"over all {carried['steps']:,} steps in",
        }
        for key, words in shares.items():
            parts.append((words, _percent(carried[key]), _percent(reset[key])))
            worse |= carried[key] < reset[key] - 0.02
    else:
        for target, found in carried["per_target"].items():
            of = "" if len(carried["per_target"]) == 1 else f" of {target}"
            for key, where in _errors(carried).items():
                before = reset["per_target"][target][key]
                parts.append((f"the RMSE{of}{where} is", f"{found[key]:.4g}", f"{before:.4g}"))
                worse |= found[key] > 1.02 * before
    told = (f"{words} {now} (reset at each recording: {before})" for words, now, before in parts)
    return f"When the state is never reset, {', '.join(told)}.{ADVICE if worse else ''}"


def _metrics(work: Work) -> list[tuple[str, dict[str, float | None], str]]:
    """Rows of a table: the title, the figures by their titles, where they are from."""
    titles = SHOWN[work.spec.task]
    trained = titled(work.run.metrics["test"], titles)
    rows = [("PyTorch, fp32 (training)", trained, "the training run")]
    for backend, found in work.metrics.items():
        rows.append((str(backend), titled(found, titles), work.accuracy[backend.reset()].source))
    for name, found in work.metrics[NUMPY].get("baselines", {}).items():
        title = "the training split's mean" if work.spec.task == "regress" else f"{name} forecast"
        rows.append((title, titled(found, titles), "no model"))
    return rows


def _figures(work: Work) -> dict[str, tuple[str, Figure]]:
    figures = {"curves": ("Training", plot_curves(work.run.history))}
    metrics = work.metrics[NUMPY]
    if work.spec.task == "classify":
        figures["confusion"] = ("Test split, answer at the last step, float32", plot_confusion(metrics["confusion"], work.spec.classes))
    else:
        figures["truth"] = ("Test split, float32", plot_test(work.spec, work.run.splits.test, work.answers))
    outputs = {str(name): a.outputs for name, a in work.accuracy.items()}
    shown = [str(name) for name in work.accuracy if name.member in work.artifacts or len(outputs) < 4]
    how = "one sequence after the other" if work.spec.bidirectional else "while the state is carried"
    figures["errors"] = (f"Error against the float64 reference, {how}", plot_errors(outputs, work.reference))
    figures["stream"] = ("The golden stream, output by output", plot_stream(outputs, shown, work.reference, work.spec.output_names))
    if work.convergence:
        caption = f"How many calibration samples the int8 cell needs: {len(work.calibration['x'])} were taken"
        figures["calibration"] = (caption, plot_convergence(work.convergence, len(work.calibration["x"])))
    return figures
