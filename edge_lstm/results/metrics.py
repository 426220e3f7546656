"""How good answers are, whichever backend gave them."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Many
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.errors import DataError
from edge_lstm_runtime.model.spec import ModelSpec

from ..data.recordings import Sequence
from ..tasks.base import task_of

CARRIED = "state never reset"  # names metrics of all sequences as one stream
# The metrics that speak for a model, the most telling first.
HEADLINES = ("bits_per_character", "accuracy", "rmse", "nrmse")
TITLES = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "mae": "MAE",
    "rmse": "RMSE",
    "nrmse": "NRMSE (mean of the targets)",
    "bits_per_character": "bits per character",
    "perplexity": "perplexity",
}
NAMED = 6  # so many recordings are told one by one, if there are no more
IN_UNITS = frozenset({"mae", "rmse", "mae_last", "rmse_last", "pinball"})  # of a target


def evaluate(
    spec: ModelSpec,
    sequences: Many[Sequence],
    answers: Many[NDArray[Any]],
    *,
    season: int | None = None,
    train: Many[Sequence] | None = None,
) -> dict[str, Any]:
    """The metrics of the model's task, ready for JSON.

    answers: per sequence (T, O), streamed from the zero state: logits, else raw units.
    season:  steps of the data's period. If it is given, the seasonal naive forecast is added.
    train:   the training split. If it is given, the baselines that are fitted on it are added.
    Each task lists its metrics in its own file.
    Raises DataError for answers that don't fit the sequences, and if there is nothing to measure.

    >>> import numpy as np, edge_lstm as el, edge_lstm_runtime as rt
    >>> run = el.load_run("runs/mine")
    >>> test = run.splits.test
    >>> found = []
    >>> with rt.load("mine.edge").session("numpy") as s:
    ...     for sequence in test:
    ...         s.reset()
    ...         found.append(s.run(sequence.x))  # (T, C) -> (T, O)
    >>> metrics = el.evaluate(run.spec, test, found)
    >>> metrics["accuracy"] == run.metrics["test"]["accuracy"]
    True
    """
    if len(sequences) != len(answers) or not sequences:
        raise DataError(
            f"{len(answers)} answers for {len(sequences)} sequences; expected one (T, O) array for "
            "each, and at least one"
        )
    for sequence, answer in zip(sequences, answers, strict=True):
        expected = (len(sequence.x), spec.answer.size)
        if answer.shape != expected:
            raise DataError(
                f"sequence {sequence.name!r}: the answers have shape {answer.shape}, "
                f"expected {expected}"
            )
        if not np.isfinite(answer).all():
            step = int(np.argwhere(~np.isfinite(answer))[0, 0])
            raise DataError(
                f"sequence {sequence.name!r}: the answer at step {step} is not finite, so there "
                "is nothing to measure"
            )
    task = task_of(spec)
    metrics = task.evaluate(spec, sequences, answers, season)
    fitted = {} if train is None else task.baselines(spec, train, sequences)
    return (
        {**metrics, "baselines": {**metrics.get("baselines", {}), **fitted}} if fitted else metrics
    )


def titled(metrics: Mapping[str, Any], titles: Mapping[str, str]) -> dict[str, float | None]:
    """Title -> figure, of the metrics that `titles` has words for, None if there is no figure.

    With several targets, errors in units stand once for each target. If `horizon` lists the steps
    ahead, they stand once for each of these too, under the names of the outputs.
    """
    targets = metrics.get("per_target", {})
    several = len(targets) > 1
    if "ahead" in metrics:
        steps = {f"+{step['ahead']}": step["per_target"] for step in metrics["per_step"]}
        targets = {t + k: each[t] for k, each in steps.items() for t in targets}
    found: dict[str, float | None] = {}
    for name, title in titles.items():
        if len(targets) > 1 and name in IN_UNITS:
            found |= {f"{title}, {target}": each.get(name) for target, each in targets.items()}
        else:
            mean = ", mean of the targets" if several and name == "nrmse" else ""
            found[title + mean] = metrics.get(name)
    return found


def figure(value: float | None, digits: int = 4) -> str:
    return "–" if value is None else f"{value:.{digits}g}"


def headline(metrics: Mapping[str, Any]) -> str:
    """The metric that speaks for a model: the NRMSE if several targets have no common unit."""
    names = (*HEADLINES, *metrics)
    return next((name for name in names if isinstance(metrics.get(name), float)), "nrmse")


def title_of(metric: str) -> str:
    return TITLES.get(metric, metric)
