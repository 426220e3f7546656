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

    trained: of metrics.json. measured: here, in float32, over the same split.
    """
    name = "nrmse" if isinstance(trained.get("nrmse"), float) else headline(trained)
    allowed = {name: 0.0}
    if name == "accuracy":  # over the sequences' last steps, or over all steps
        every = "accuracy_all_steps"
        allowed = {name: DECISIONS / trained["sequences" if every in trained else "steps"]}
        allowed |= {every: DECISIONS / trained["steps"]} if every in trained else {}
    for key, decisions in allowed.items():
        before = trained.get(key)
        now = measured.get(key)
        if before is None and now is None:
            continue
        if (
            before is None
            or now is None
            or not (abs(now - before) <= decisions + ABSOLUTE + RELATIVE * abs(before))
        ):
            return (
                f"the test {title_of(key)} is {now} here and {before} in metrics.json; the "
                "checkpoint, the metrics or the data are not those of the training: train again"
            )
    return None
