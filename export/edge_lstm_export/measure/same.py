"""The test metric of the export's own measurement against that of the training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge_lstm.results.metrics import headline, title_of

RELATIVE = 1e-3  # a training on a GPU may round its products to 11 bits
ABSOLUTE = 1e-5  # of a metric without a unit, for answers that are exact but for rounding
DECISIONS = 2  # that rounding may turn, where two classes are equally likely


def differs_from_training(trained: Mapping[str, Any], measured: Mapping[str, Any]) -> str | None:
    """Words on the first metric that differs by more than rounding explains, None if none does.

    trained: of metrics.json, which anybody may have edited. measured: here, in float32, over the
    same split.
    """
    allowed = {_telling(metrics): 0.0 for metrics in (trained, measured)}
    if "accuracy" in allowed:  # over the sequences' last steps, or over all steps
        every = "accuracy_all_steps"
        allowed["accuracy"] = DECISIONS / measured["sequences" if every in measured else "steps"]
        allowed |= {every: DECISIONS / measured["steps"]} if every in measured else {}
    for key, decisions in allowed.items():
        before = trained.get(key)
        now = measured.get(key)
        if before is None and now is None:
            continue
        if not (
            isinstance(before, float)
            and isinstance(now, float)
            and abs(now - before) <= decisions + ABSOLUTE + RELATIVE * abs(before)
        ):
            return (
                f"the test {title_of(key)} is {now} here and {before} in metrics.json; the "
                "checkpoint, the metrics or the data are not those of the training: train again"
            )
    return None


def _telling(metrics: Mapping[str, Any]) -> str:
    return "nrmse" if isinstance(metrics.get("nrmse"), float) else headline(metrics)
