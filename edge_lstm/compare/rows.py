"""A row of the comparison, and the case from which every row is made."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.model.spec import ModelSpec

from ..config.schema import Config
from ..data.load import Sequence as Recording
from ..data.load import Splits
from ..results.metrics import evaluate
from ..training.progress import Reporter

MEASURED = 0.2  # seconds of a timing


@dataclasses.dataclass(frozen=True)
class Row:
    """One model of the comparison.

    metrics      as `evaluate` gives them on the test split. None if the row was skipped, and `note`
                 says why
    parameters   learned numbers that an answer needs. For 1-NN the training data that it keeps
    us_per_step  microseconds on this machine's CPU, one stream
    measured     the backend that took that time, and whether it took single steps
    seconds      of training or fitting, without validation
    """

    name: str
    title: str
    metrics: dict[str, Any] | None
    parameters: int | None = None
    us_per_step: float | None = None
    measured: str = ""
    seconds: float | None = None
    note: str = ""

    @property
    def bytes(self) -> int | None:
        """The size of the parameters in float32."""
        return None if self.parameters is None else 4 * self.parameters

    def to_dict(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "bytes": self.bytes}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Row:
        return cls(**{field.name: values[field.name] for field in dataclasses.fields(cls)})


@dataclasses.dataclass(frozen=True)
class Case:
    """The data and the configuration that all rows share. out: the comparison's folder."""

    config: Config
    spec: ModelSpec
    splits: Splits
    out: Path
    reporter: Reporter

    @property
    def learned(self) -> list[Recording]:
        """The sequences on which a model without validation is fitted.

        With `refit` the validation split is among them, as it is for the LSTM.
        """
        if not self.config.train.refit:
            return self.splits.train
        from ..training.refit import joined

        return joined(self.splits).train

    def measure(self, answers: Sequence[NDArray[Any]]) -> dict[str, Any]:
        """answers: per test sequence (T, O). All rows' forecasts are measured on the same steps."""
        metrics = evaluate(self.spec, self.splits.test, answers, season=self.config.data.season)
        # They speak of one model, and the baselines have rows here.
        for key in ("verdict", "beats_naive", "beats_seasonal", "beats_mean", "baselines"):
            metrics.pop(key, None)
        return metrics


def microseconds(call: Callable[[], object], steps: int = 1) -> float:
    """The median time of a call, over its `steps`."""
    call()
    times: list[float] = []
    end = time.perf_counter() + MEASURED
    while len(times) < 5 or (time.perf_counter() < end and len(times) < 10_000):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return 1e6 * statistics.median(times) / steps


def repeated(answers: NDArray[Any], case: Case) -> list[NDArray[np.float64]]:
    """(sequences, O), one answer to each test sequence -> the same at each of its steps."""
    return [
        np.tile(answer, (len(s.x), 1)).astype(np.float64)
        for answer, s in zip(answers, case.splits.test, strict=True)
    ]
