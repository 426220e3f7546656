"""Counts of one model's streams, in the text that Prometheus reads."""

from __future__ import annotations

import bisect
import math
from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from ..model.spec import ModelSpec
from .drift import Drift
from .stream import Work

BUCKETS = (5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 0.1)  # seconds
RECENT = 1000  # samples of the share that is out of range
HELP = {
    "samples_total": ("counter", "Samples that were answered."),
    "refused_total": ("counter", "Samples or messages that could not be used."),
    "answers_total": ("counter", "Answers by class."),
    "anomalies_total": ("counter", "Samples that the detector found anomalous."),
    "out_of_range_total": ("counter", "Samples with a value far outside of the training range."),
    "out_of_range_share": ("gauge", f"Their share among the latest {RECENT} samples."),
    "score": ("gauge", "The latest anomaly score."),
    "input_shift": ("gauge", "Moving mean less the training mean, in training deviations."),
    "input_spread": ("gauge", "Moving deviation over the training deviation."),
    "step_seconds": ("histogram", "Seconds of a step, the mean of those taken together."),
    "streams": ("gauge", "Streams with a state."),
    "last_sample_age_seconds": ("gauge", "Seconds since the latest sample."),
    "model_info": ("gauge", "Backend and digest of the bundle."),
    "queue_messages": ("gauge", "Messages that wait."),
    "queue_limit": ("gauge", "Messages that may wait."),
    "saved_age_seconds": ("gauge", "Seconds since the states were saved."),
}


class Counts:
    """What is counted for one model. The worker alone writes it."""

    def __init__(self, spec: ModelSpec):
        self.spec = spec
        self.samples = 0
        self.refused: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        self.anomalies = 0
        self.far = 0
        self.far_share = 0.0
        self.score = float("nan")
        self.drift = Drift(spec.inputs)
        self.last: float | None = None  # the monotonic time of the latest sample
        self.steps = [0] * (len(BUCKETS) + 1)
        self.step_seconds = 0.0
        self._classes = spec.answer.names if spec.answer.logits else ()
        self._threshold = spec.detector.threshold if spec.detector else 0.0

    def take(self, work: Work, seconds: float, now: float) -> None:
        """seconds: that the work took. now: monotonic."""
        self.refused.update(work.refused)
        n = len(work.xs)
        if not n:
            return
        self.samples += n
        self.last = now
        self.steps[bisect.bisect_left(BUCKETS, seconds / n)] += n
        self.step_seconds += seconds
        keep = 1 - 1 / RECENT
        self.far_share *= keep**n
        if work.far.any():
            rows = np.flatnonzero(work.far.any(axis=1))
            self.far += len(rows)
            self.far_share += float((keep ** (n - 1 - rows)).sum()) / RECENT
        if self._classes:
            for k, count in enumerate(np.bincount(work.outputs.argmax(axis=1)).tolist()):
                if count:
                    self.answers[self._classes[k]] += count
        if work.scores:
            self.score = work.scores[-1]
            self.anomalies += sum(score > self._threshold for score in work.scores)
        self.drift.take(work.xs)

    def lines(self, model: str, now: float) -> Iterator[tuple[str, str]]:
        """Pairs of a metric's name and its line."""

        def line(name: str, value: float, suffix: str = "", **labels: str) -> tuple[str, str]:
            return name, sample(f"{name}{suffix}", value, {"model": model, **labels})

        yield line("samples_total", self.samples)
        for reason, count in sorted(self.refused.items()):
            yield line("refused_total", count, reason=reason)
        for name, count in sorted(self.answers.items()):
            yield line("answers_total", count, **{"class": name})
        yield line("out_of_range_total", self.far)
        yield line("out_of_range_share", self.far_share)
        if self._threshold:
            yield line("anomalies_total", self.anomalies)
            yield line("score", self.score)
        for channel, shift, spread in self.drift.told():
            yield line("input_shift", shift, channel=channel)
            yield line("input_spread", spread, channel=channel)
        total = 0
        for limit, count in zip((*map(str, BUCKETS), "+Inf"), self.steps, strict=True):
            total += count
            yield line("step_seconds", total, "_bucket", le=limit)
        yield line("step_seconds", self.step_seconds, "_sum")
        yield line("step_seconds", total, "_count")
        if self.last is not None:
            yield line("last_sample_age_seconds", now - self.last)


def sample(name: str, value: float, labels: Mapping[str, str]) -> str:
    """A line of Prometheus' text."""
    listed = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    shown = "NaN" if math.isnan(value) else repr(value)
    return f"edge_lstm_{name}{{{listed}}} {shown}" if listed else f"edge_lstm_{name} {shown}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def text_of(lines: Iterator[tuple[str, str]]) -> str:
    """All lines, those of a metric together behind what it is."""
    found: dict[str, list[str]] = {}
    for name, told in lines:
        found.setdefault(name, []).append(told)
    text = ""
    for name, rows in found.items():
        kind, words = HELP[name]
        text += f"# HELP edge_lstm_{name} {words}\n# TYPE edge_lstm_{name} {kind}\n"
        text += "\n".join(rows) + "\n"
    return text
