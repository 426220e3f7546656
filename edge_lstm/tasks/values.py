"""The outputs of a net that another tool trained. The truth is what that net itself answers.

It can't be trained here, so it has no `Section`.
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from edge_lstm_runtime.errors import ConfigError
from edge_lstm_runtime.model.spec import ModelSpec

from ..config.sections import TrainConfig
from ..data.recordings import Sequence
from ..results.metrics import figure
from ..results.numbers import errors
from ..results.plots import TRUTH, VALIDATION, label_axes, legend_below, new_figure
from ..training.losses import NumberLoss
from .base import Answers, Metrics
from .numbers import NumberTask

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAWN = 500  # steps


class ImportedTask(NumberTask):
    figure = "outputs.png"
    caption = "Test samples, float32, beside the original net"
    titles: ClassVar[dict[str, str]] = {
        "max_abs": "largest difference from the original",
        "nrmse": "NRMSE from the original",
    }
    printed = ("max_abs", "nrmse")

    def loss(self, config: TrainConfig, spec: ModelSpec) -> NumberLoss:  # noqa: ARG002
        raise ConfigError(f"an {spec.answer.model} can't be trained; train it with its own tool")

    def evaluate(
        self,
        spec: ModelSpec,
        sequences: Many[Sequence],
        answers: Answers,
        season: int | None,  # noqa: ARG002
    ) -> dict[str, Any]:
        """The errors of `results.numbers.errors`, max_abs over all outputs, and the verdict.

        The truth is what the original answers, so an error is a difference from it.
        """
        truth = np.concatenate([self.truth(spec, s) for s in sequences])
        answer = np.concatenate(answers).astype(np.float64)
        found = errors(spec, answer, truth)
        found["max_abs"] = float(np.abs(answer - truth).max())
        nrmse = "" if found["nrmse"] is None else f", NRMSE {figure(found['nrmse'])}"
        verdict = (
            f"The answers differ from those of the original net by at most "
            f"{figure(found['max_abs'])}{nrmse}, over {len(truth):,} steps. How good these "
            "answers are is not measured here."
        )
        return {**found, "sequences": len(sequences), "steps": len(truth), "verdict": verdict}

    def change(self, found: Metrics, float32: Metrics) -> str:  # noqa: ARG002
        nrmse = "no NRMSE" if found["nrmse"] is None else f"NRMSE {figure(found['nrmse'])}"
        return f"{nrmse} from the original net"

    def worse(self, found: Metrics, float32: Metrics) -> list[float]:  # noqa: ARG002
        """None: how much a difference matters to the net's own task is not known here."""
        return []

    def draw(
        self,
        spec: ModelSpec,
        sequences: Many[Sequence],
        answers: Answers,
        metrics: Metrics,  # noqa: ARG002
    ) -> Figure:
        """The first output over the first steps."""
        figure = new_figure(12, 3.8)
        ax = figure.subplots()
        ax.plot(self.truth(spec, sequences[0])[:DRAWN, 0], color=TRUTH, label="original")
        ax.plot(answers[0][:DRAWN, 0], color=VALIDATION, linewidth=0.8, label="answer")
        name = spec.answer.targets[0]
        label_axes(ax, f"Output {name}", "step", name)
        legend_below(ax)
        return figure


TASK = ImportedTask()
