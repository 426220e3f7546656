"""A class at every step of an uncut recording."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Many
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edge_lstm_runtime.errors import DataError
from edge_lstm_runtime.model.spec import ModelSpec
from edge_lstm_runtime.tasks.tag import Tag

from ..config.sections import TrainConfig
from ..data.recordings import PARTS, Parts, Recording, Sequence, Splits
from ..results.events import Classes, measure, runs
from ..results.metrics import NAMED, figure
from ..results.plots import class_colours, confusion_size, draw_confusion, new_figure, plain
from ..results.rowwise import FITS
from ..results.words import signed
from ..training.losses import StepClassLoss
from ..training.tally import StepClassTally
from .base import Answers, Carried, Detail, Metrics, Task, softmax
from .classes import ClassSection, ClassTrainConfig, classes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DRAWN = 3  # recordings in the figure
SHOWN = ("accuracy", "macro_f1", "event_f1")  # of each recording and of each baseline


class TrainSection(ClassTrainConfig):
    """[train] of task "tag"."""


class Section(ClassSection):
    """[model] of task "tag".

    tolerance  steps by which the beginning of an event may be early or late, for `event_f1`
    """

    FITS = "classes"
    Train = TrainSection
    unlabelled_rows = True
    splits_within_recordings = True

    tolerance: Annotated[int, Field(ge=0)] = 5

    def divide(self, parts: Parts, channels: tuple[str, ...]) -> Splits:
        names = classes({p: {str(n) for r in parts[p] for n in _names(r)} for p in PARTS})
        train, val, test = (
            [
                Sequence(r.full_name, r.group, r.x, labels=_indices(r, names), time=r.time)
                for r in parts[p]
            ]
            for p in PARTS
        )
        return Splits(train, val, test, channels, names)

    def answer(self, splits: Splits, dt_name: str) -> Tag:  # noqa: ARG002
        return Tag(splits.classes, self.tolerance)


def _names(recording: Recording) -> NDArray[np.str_]:
    assert recording.labels is not None
    labels: NDArray[np.str_] = np.unique(recording.labels[recording.labels != ""])
    return labels


def _indices(recording: Recording, names: tuple[str, ...]) -> Classes:
    assert recording.labels is not None
    found, inverse = np.unique(recording.labels, return_inverse=True)
    indices = [names.index(str(name)) if name != "" else -1 for name in found]
    return np.array(indices, np.int64)[inverse]


class TagTask(Task):
    figure = "tags.png"
    caption = "Test split, truth and answer at every step, float32"
    titles: ClassVar[Mapping[str, str]] = {
        "accuracy": "accuracy, every step",
        "macro_f1": "macro F1",
        "event_f1": "event F1",
    }
    printed = SHOWN
    simple: ClassVar[Mapping[str, str]] = {
        "majority": "the most frequent class",
        "threshold": "a threshold on one channel",
        "logistic": "logistic regression on the row",
    }
    rivals: ClassVar[Mapping[str, str]] = {
        name: f"edge_lstm.compare.taggers:{name}" for name in simple
    }
    quick = ("majority", "threshold", "logistic")

    def targets(
        self,
        spec: ModelSpec,  # noqa: ARG002
        sequence: Sequence,
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        assert sequence.labels is not None
        return np.maximum(sequence.labels, 0), sequence.labels >= 0

    def nothing_known(self, spec: ModelSpec) -> str:  # noqa: ARG002
        return "no row has a label"

    def loss(self, config: TrainConfig, spec: ModelSpec) -> StepClassLoss:  # noqa: ARG002
        assert isinstance(config, TrainSection)
        return StepClassLoss(**config.of_loss)

    def tally(self, spec: ModelSpec, sequences: Many[Sequence]) -> StepClassTally:  # noqa: ARG002
        return StepClassTally(spec.answer.size)

    def evaluate(
        self,
        spec: ModelSpec,
        sequences: Many[Sequence],
        answers: Answers,
        season: int | None,  # noqa: ARG002
    ) -> dict[str, Any]:
        """The metrics of `events.measure` over all steps with a label, and per_recording."""
        return self._measured(spec, sequences, [a.argmax(axis=1) for a in answers])

    def _measured(
        self, spec: ModelSpec, sequences: Many[Sequence], told: Many[Classes]
    ) -> dict[str, Any]:
        """told: (T,) the class at each step of each sequence."""
        truths = [s.labels for s in sequences if s.labels is not None]
        if not any((truth >= 0).any() for truth in truths):
            raise DataError(f"no row of the {len(sequences)} recordings has a label to measure by")
        names = spec.answer.classes
        tolerance = spec.answer.tolerance
        each = []
        for sequence, truth, answer in zip(sequences, truths, told, strict=True):
            if (truth >= 0).any():
                found = measure(names, [truth], [answer], tolerance)
                shown = {key: found[key] for key in (*SHOWN, "steps")}
                each.append({"name": sequence.name, **shown})
        return {
            **measure(names, truths, told, tolerance),
            "classes": list(names),
            "tolerance": tolerance,
            "sequences": len(sequences),
            "per_recording": each,
        }

    def baselines(
        self, spec: ModelSpec, train: Many[Sequence], sequences: Many[Sequence]
    ) -> dict[str, Any]:
        """The models of `rowwise`. words: each in a sentence, with its facts beside."""
        found = {}
        for name, fit in FITS.items():
            if (model := fit(spec, train)) is not None:
                metrics = self._measured(spec, sequences, [model(s) for s in sequences])
                kept = {key: metrics[key] for key in (*SHOWN, "per_class", "per_recording")}
                found[name] = {"words": model.words, **model.facts, **kept}
        return found

    def decided(self, spec: ModelSpec, answer: NDArray[Any]) -> NDArray[np.str_]:
        """(T,): the class at each step."""
        names: NDArray[np.str_] = np.array(spec.answer.classes)
        told: NDArray[np.str_] = names[answer.argmax(axis=1)]
        return told

    def chances(self, spec: ModelSpec, answer: NDArray[Any]) -> NDArray[np.float64]:  # noqa: ARG002
        """(T, O): of each class, at each step."""
        return softmax(answer)

    def score(self, metrics: Metrics) -> float:
        """The accuracy over all steps."""
        return float(metrics["accuracy"])

    def draw(
        self, spec: ModelSpec, sequences: Many[Sequence], answers: Answers, metrics: Metrics
    ) -> Figure:
        """The longest recordings, truth above answer, and the confusion."""
        names = spec.answer.classes
        longest = sorted(range(len(sequences)), key=lambda k: -len(sequences[k].x))[:DRAWN]
        width, height = confusion_size(len(names))
        figure = new_figure(9 + width, max(height, 1.6 * len(longest) + 0.8))
        parts: Any = figure.subfigures(1, 2, width_ratios=(9, width))
        bands, matrix = parts
        axes = np.atleast_1d(bands.subplots(len(longest), 1))
        for ax, k in zip(axes, sorted(longest), strict=True):
            truth = sequences[k].labels
            assert truth is not None
            _draw_bands(ax, {"answer": answers[k].argmax(axis=1), "truth": truth}, len(names))
            ax.set_title(plain(sequences[k].name), fontsize=10)
        axes[-1].set_xlabel("step")
        colours = class_colours(len(names))
        handles = [axes[0].fill_between([], [], color=colour) for colour in colours]
        longest_name = max(map(len, names))
        columns = max(1, min(6, len(names), 84 // (longest_name + 6)))  # of 9 inches
        labels = [plain(n) for n in names]
        bands.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)
        draw_confusion(matrix.add_subplot(), metrics["confusion"], names)
        return figure

    def closing(self, test: Metrics, carried: Metrics | None) -> list[str]:
        lines = [
            f"test {self.titles[key]:<21} {figure(test[key])}"
            + (f", never reset {figure(carried[key])}" if carried else "")
            for key in SHOWN
        ]
        for name, found in test["per_class"].items():
            rates = ", ".join(f"{k} {figure(found[k])}" for k in ("precision", "recall", "f1"))
            events = f"event F1 {figure(found['event_f1'])} of {found['events']:,} events"
            lines.append(f"class {name}: {rates}, {found['support']:,} steps; {events}")
        return [*lines, *self.verdict(test)]

    def verdict(self, test: Metrics) -> list[str]:
        """The figures, and for all recordings and each of a few, which baseline wins or loses."""
        tolerance = test["tolerance"]
        count = test["sequences"]
        each = "" if count == 1 else f" at each of {count:,} recordings"
        sentences = [
            f"Over all {test['steps']:,} steps of the test split, streamed from the zero state"
            f"{each}, the accuracy is {_three(test)}. An event, a run of steps of one class, "
            "counts as found if its class is answered from at most "
            f"{tolerance} steps before or after its beginning."
        ]
        rivals = test.get("baselines", {})
        sentences += _against("Overall", test, rivals)
        if 1 < len(test["per_recording"]) <= NAMED:
            for k, row in enumerate(test["per_recording"]):
                own = {name: {**r, **r["per_recording"][k]} for name, r in rivals.items()}
                sentences += _against(f"Recording {row['name']}", row, own)
        return sentences

    def detail(self, test: Metrics) -> Detail | None:
        head = ("class", "steps", "precision", "recall", "F1", "events", "event F1")
        keys = ("support", "precision", "recall", "f1", "events", "event_f1")
        rows = [(name, *(each[k] for k in keys)) for name, each in test["per_class"].items()]
        return Detail("Each class, over all steps of the test split, in float32.", head, rows)

    def change(self, found: Metrics, float32: Metrics) -> str:
        points = {key: signed(100 * (found[key] - float32[key])) for key in SHOWN[:2]}
        return f"{points['accuracy']} points of accuracy and {points['macro_f1']} of macro F1"

    def worse(self, found: Metrics, float32: Metrics) -> list[float]:
        return [100 * (float32[key] - found[key]) for key in ("accuracy", "macro_f1")]

    def carried(self, reset: Metrics, carried: Metrics) -> tuple[list[Carried], bool]:
        """Worse from 2 points on."""
        words = {"accuracy": "the accuracy over all steps is", "macro_f1": "macro F1 is"}
        parts = [Carried(w, figure(carried[k]), figure(reset[k])) for k, w in words.items()]
        return parts, any(carried[key] < reset[key] - 0.02 for key in words)


def _three(found: Metrics) -> str:
    f1 = f"macro F1 {figure(found['macro_f1'])}, event F1 {figure(found['event_f1'])}"
    return f"{figure(found['accuracy'])} ({f1})"


def _against(where: str, found: Metrics, rivals: Mapping[str, Any]) -> list[str]:
    """A sentence on the best of the rivals, by the figures as they are printed."""
    if not rivals:
        return []
    best, result = _winner(found, rivals, "accuracy")
    other, by_f1 = _winner(found, rivals, "macro_f1")
    if by_f1 != result:
        own = f" ({figure(other['macro_f1'])})" if by_f1 == f"{other['words']} wins" else ""
        result = f"by accuracy {result}, by macro F1 {by_f1}{own}"
    own = f"the model has an accuracy of {_three(found)}"
    return [f"{where}: {own}, {best['words']} {_three(best)}: {result}."]


def _winner(found: Metrics, rivals: Mapping[str, Any], key: str) -> tuple[Metrics, str]:
    """The best of the rivals, and who wins."""
    best: Metrics = max(rivals.values(), key=lambda rival: float(rival[key]))
    mine = figure(found[key])
    theirs = figure(best[key])
    if mine == theirs:
        return best, "neither wins"
    return best, "the model wins" if float(mine) > float(theirs) else f"{best['words']} wins"


def _draw_bands(ax: Axes, rows: Mapping[str, Classes], count: int) -> None:
    """A band for each row, from below, with a colour for each class."""
    colours = class_colours(count)
    for y, found in enumerate(rows.values()):
        each = runs(found)
        for k in range(count):
            spans = [(start, stop - start) for of, start, stop in each if of == k]
            ax.broken_barh(spans, (y - 0.4, 0.8), color=colours[k], linewidth=0)
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set_xlim(0, max(len(found) for found in rows.values()))


TASK = TagTask()
