"""How good numbers are: errors in raw units, and whether they beat simpler answers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.model.spec import ModelSpec

from ..data.recordings import Float64
from .metrics import figure
from .notes import reservations, useless
from .words import ahead


def spread(spec: ModelSpec, truth: Float64) -> Float64:
    """(targets,) each one's standard deviation.

    truth: (steps, steps ahead * targets) raw units, all known.
    """
    deviations: Float64 = truth.reshape(-1, len(spec.answer.targets)).std(axis=0)
    return deviations


def with_ends(
    spec: ModelSpec,
    answer: Float64,
    truth: Float64,
    ends: NDArray[np.int64],
) -> dict[str, Any]:
    """answer, truth: (steps, targets), raw units.

    ends: the rows that are measured by themselves too.
    """
    found = errors(spec, answer, truth)
    last = errors(spec, answer[ends], truth[ends])
    del found["per_step"]
    for key in ("mae", "rmse"):
        found[f"{key}_last"] = last[key]
        for target, figures in found["per_target"].items():
            figures[f"{key}_last"] = last["per_target"][target][key]
    return found


def errors(spec: ModelSpec, forecast: Float64, truth: Float64) -> dict[str, Any]:
    """forecast, truth: (steps, steps ahead * targets), raw units."""
    steps_ahead = spec.answer.ahead
    shape = (len(steps_ahead), len(spec.answer.targets))
    error = forecast - truth
    mae = np.abs(error).mean(axis=0).reshape(shape)
    mse = (error**2).mean(axis=0).reshape(shape)
    std = spread(spec, truth)
    deviation = forecast.reshape(-1, *shape).std(axis=0)

    def figures(mae: Float64, mse: Float64, deviation: Float64) -> dict[str, Any]:
        """mae, mse, deviation (of the answers): (targets,)"""
        each: dict[str, dict[str, float | None]] = {}
        for j, name in enumerate(spec.answer.targets):
            rmse = math.sqrt(mse[j])
            share = [float(v / std[j]) if std[j] > 0 else None for v in (rmse, deviation[j])]
            each[name] = {"mae": float(mae[j]), "rmse": rmse, "nrmse": share[0], "spread": share[1]}
        relative = [e["nrmse"] for e in each.values() if e["nrmse"] is not None]
        first = each[spec.answer.targets[0]]
        in_units = {key: None if len(each) > 1 else first[key] for key in ("mae", "rmse")}
        mean = sum(relative) / len(relative) if relative else None
        return {**in_units, "nrmse": mean, "per_target": each}

    steps = [
        {"ahead": n, **figures(mae[k], mse[k], deviation[k])} for k, n in enumerate(steps_ahead)
    ]
    whole = figures(mae.mean(axis=0), mse.mean(axis=0), spread(spec, forecast))
    return {**whole, "per_step": steps}


def places(metrics: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Place, in words -> the figures there: of each target if there are several.

    If `horizon` lists the steps ahead, of each of these too.
    """
    apart = "ahead" in metrics
    found = {}
    for part in metrics["per_step"] if apart else [metrics]:
        for target, figures in part["per_target"].items():
            words = [target] if len(part["per_target"]) > 1 else []
            words += [ahead(part["ahead"])] if apart else []
            found[", ".join(words)] = figures
    return found


def judged(model: dict[str, Any], titles: Mapping[str, str], note: str = "") -> dict[str, Any]:
    """beats_NAME of each of the model's `baselines`, and the verdict. titles: their names.

    There is a sentence for each of `places`, and a baseline is beaten if it is beaten in all.
    """
    beats = dict.fromkeys(titles, True)
    lines = []
    found = {name: places(model["baselines"][name]) for name in titles}
    for place, figures in places(model).items():
        sentences = []
        for name, title in titles.items():
            better, sentence = _compare(figures, found[name][place], title)
            beats[name] &= better
            sentences.append(sentence)
        sentences += reservations(figures)
        lines.append((place and f"{place}: ") + " ".join(sentences))
    verdict = "\n".join([*lines, note]).rstrip()
    return {f"beats_{name}": better for name, better in beats.items()} | {"verdict": verdict}


def _compare(model: dict[str, Any], baseline: dict[str, Any], title: str) -> tuple[bool, str]:
    """Whether a target's baseline is beaten, and a sentence that says it.

    It is if MAE and RMSE are both lower and the model is not useless. The printed figures are
    compared, so that the words can't contradict them.
    """
    parts = []
    lower = higher = 0
    for key in ("mae", "rmse"):
        printed = [figure(m[key]) for m in (model, baseline)]
        ours, theirs = map(float, printed)
        lower += ours < theirs
        higher += ours > theirs
        difference = _difference(ours, theirs)
        parts.append(f"{key.upper()} {printed[0]} against {printed[1]} ({difference})")
    beaten = lower == 2 and not useless(model)
    if lower == 2:
        verb = f"{'beats' if beaten else 'has lower errors than'} the {title}"
    elif lower and higher:
        verb = f"is better in one measure and worse in the other than the {title}"
    elif lower:
        verb = f"is better in one measure than the {title} and the same in the other"
    else:
        verb = f"does not beat the {title}"
    return beaten, f"The model {verb}: {', '.join(parts)}."


def _difference(ours: float, theirs: float) -> str:
    if ours == theirs:
        return "the same"
    word = "lower" if ours < theirs else "higher"
    if theirs == 0:
        return word
    percent = 100 * abs(ours / theirs - 1)
    return f"{percent:.{1 if percent >= 0.1 else 2}f} % {word}"
