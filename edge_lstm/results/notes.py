"""What a reader must know beside the figures, a sentence for each thing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .metrics import figure

FLAT = 0.1  # of the truth's standard deviation: answers that deviate less tell next to nothing
FEW = 50  # training windows

Metrics = Mapping[str, Any]


def useless(found: Metrics) -> bool:
    """Whether a constant, the truth's own mean, would do as well, as the figures are printed.

    found: the errors of a target.
    """
    return found["nrmse"] is not None and float(figure(found["nrmse"])) >= 1


def reservations(found: Metrics) -> list[str]:
    """Of numbers that are hardly better than a constant. found: the errors of a target."""
    said = []
    if useless(found):
        nrmse = figure(found["nrmse"])
        how = "better" if float(nrmse) > 1 else "as well"
        said.append(f"A constant, the test split's mean, would do {how}: the NRMSE is {nrmse}.")
    spread = found["spread"]
    if spread is not None and spread < FLAT:
        share = f"{figure(100 * spread, 2)} % of the truth's"
        said.append(f"The answers are nearly a flat line: their standard deviation is {share}.")
    return said


def notes(metrics: Metrics, cuts: Mapping[str, Any]) -> list[str]:
    """Of a training. metrics: of metrics.json. cuts: how its sequences were cut into windows."""
    test = metrics["test"]
    said = [season(found)] if (found := metrics.get("season")) else []
    said += _amount(metrics["training_windows"], cuts)
    said += _epochs(metrics["best_epoch"], metrics["epochs"])
    if "per_target" in test:
        count = test["sequences"]
        behind = f"{test['steps']:,} steps of {count} sequence{'s' if count > 1 else ''}"
        independent = "Steps that follow one another are not independent, so there is no interval"
        said.append(f"The test errors are over {behind}. {independent}.")
    return said


def season(found: Metrics) -> str:
    """found: as metrics.json has it."""
    height = f"autocorrelation {found['autocorrelation']:.2f}"
    change = found["change"]
    of = f"{height} of its changes over {change} step{'s' if change > 1 else ''}"
    repeats = f"{found['target']} repeats every {found['every']} steps ({of})"
    if found["used"]:
        return f"{repeats}: that is taken as `season`, which is not set in [data]."
    compare = "to compare with the same time a period before"
    return f"{repeats}: set season = {found['every']} in [data] {compare}."


def _amount(count: int, cuts: Mapping[str, Any]) -> list[str]:
    if count >= FEW:
        return []
    cut = cuts["window"] is not None
    each = ("window" if cut else "sequence") + ("s" if count > 1 else "")
    advice = "lower `stride` in [data], or add data" if cut and "stride" in cuts else "add data"
    few = f"The training split has only {count} {each}"
    return [f"{few}, so that another seed may give quite another model: {advice}."]


def _epochs(best: int, epochs: int) -> list[str]:
    if best == epochs:
        last = f"The best epoch is the last, {best} of {epochs}"
        return [f"{last}: the training may not be done; raise `epochs` in [train]."]
    if best == 1:
        first = f"The best epoch is the first, {best} of {epochs}"
        advice = "lower `learning_rate` in [train], or there is little to learn"
        return [f"{first}: the validation split got no better after it; {advice}."]
    return []
