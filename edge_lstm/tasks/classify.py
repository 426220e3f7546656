"""A class at every step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Many
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.model.spec import ModelSpec
from edge_lstm_runtime.tasks.classify import Classify

from ..config.base import Contradiction
from ..config.sections import TrainConfig, Whole
from ..data.recordings import PARTS, Parts, Recording, Sequence, Splits
from ..data.splits import label_runs
from ..results.confusion import accuracy, counted, macro_f1
from ..results.intervals import wilson
from ..results.plots import plot_confusion
from ..results.words import LAST, percent, signed
from ..training.losses import SequenceClassLoss
from ..training.tally import ClassTally
from .base import Answers, Carried, Detail, Metrics, Task, softmax
from .classes import ClassSection, ClassTrainConfig, classes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class TrainSection(ClassTrainConfig):
    """[train] of task "classify".

    loss_steps  the loss is the mean over "all" steps, or at the "last" step of each sequence
    """

    loss_steps: Literal["all", "last"] = "all"


class Section(ClassSection):
    """[model] of task "classify".

    bidirectional  read each sequence from both ends. The model then answers whole sequences only,
                   never a live stream
    """

    FITS = "class"
    Train = TrainSection
    reads_whole_sequences = True

    bidirectional: bool = False

    def divide(self, parts: Parts, channels: tuple[str, ...]) -> Splits:
        runs = {part: [label_runs([r]) for r in parts[part]] for part in PARTS}
        names = classes(
            {part: [_label(run) for cut in found for run in cut] for part, found in runs.items()}
        )
        train, val, test = (
            [
                Sequence(
                    run.full_name, run.group, run.x, names.index(_label(run)), cut=len(cut) > 1
                )
                for cut in runs[part]
                for run in cut
            ]
            for part in PARTS
        )
        return Splits(train, val, test, channels, names)

    def answer(self, splits: Splits, dt_name: str) -> Classify:  # noqa: ARG002
        return Classify(splits.classes)

    def recurrent(self) -> dict[str, Any]:
        layer = super().recurrent()
        return {"type": "both-ways", "layer": layer} if self.bidirectional else layer

    def rules(self, config: Whole) -> Iterator[Contradiction]:
        yield from super().rules(config)
        if self.bidirectional and self.layers is not None:
            both = 'list layers of type "both-ways"'
            yield ("model", "bidirectional"), f"has no meaning with [[model.layers]]; {both}"
        if self.network(1, 1).whole:
            train = config.train
            quantize = config.quantize
            if train.share_carried and "carry" in train.model_fields_set:
                none = "a bidirectional model carries no state; remove it"
                yield ("train", "carry"), f"expected 0: {none}"
            if train.cuda_graph:
                one = "only a step with one direction is recorded"
                yield ("train", "cuda_graph"), f"expected false: {one}"
            if quantize is not None:
                kind = "int8 kernel" if quantize.scheme == "int8" else "int8 cell of an NPU"
                none = f"the {kind} runs no bidirectional model; remove the section"
                yield ("quantize", "scheme"), none


def _label(run: Recording) -> str:
    assert run.labels is not None
    return str(run.labels[0])


class ClassTask(Task):
    figure = "confusion.png"
    caption = "Test split, answer at the last step, float32"
    titles: ClassVar[Mapping[str, str]] = {
        "accuracy": "accuracy, last step",
        "macro_f1": "macro F1",
        "accuracy_all_steps": "accuracy, every step",
        "accuracy_low": "accuracy, 95 % from",
        "accuracy_high": "accuracy, 95 % to",
    }
    printed = ("accuracy", "macro_f1", "accuracy_all_steps")
    rivals: ClassVar[Mapping[str, str]] = {
        "logistic": "edge_lstm.compare.classifiers:logistic",
        "dtw": "edge_lstm.compare.classifiers:nearest",
    }
    quick = ("logistic",)

    def targets(
        self,
        spec: ModelSpec,  # noqa: ARG002
        sequence: Sequence,
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        return np.asarray(sequence.label), np.ones(len(sequence.x), bool)

    def loss(self, config: TrainConfig, spec: ModelSpec) -> SequenceClassLoss:  # noqa: ARG002
        assert isinstance(config, TrainSection)
        return SequenceClassLoss(last_step=config.loss_steps == "last", **config.of_loss)

    def tally(self, spec: ModelSpec, sequences: Many[Sequence]) -> ClassTally:  # noqa: ARG002
        return ClassTally(spec.answer.size)

    def evaluate(
        self,
        spec: ModelSpec,
        sequences: Many[Sequence],
        answers: Answers,
        season: int | None,  # noqa: ARG002
    ) -> dict[str, Any]:
        """accuracy and macro_f1 at each sequence's last step, accuracy_all_steps, and confusion.

        accuracy_low and accuracy_high are the 95 % interval of the accuracy over so many
        sequences. Steps of a sequence are not independent: the accuracy over all steps has none.
        The rows of the confusion are the truth.
        """
        count = len(spec.answer.classes)
        truth = np.array([s.label for s in sequences])
        last = counted(truth, np.array([a[-1].argmax() for a in answers]), count)
        all_steps = np.concatenate([a.argmax(axis=1) for a in answers])
        all_truth = np.repeat(truth, [len(a) for a in answers])
        figures = {
            "accuracy": accuracy(last),
            "macro_f1": macro_f1(last),
            "accuracy_all_steps": accuracy(counted(all_truth, all_steps, count)),
        }
        right = int(last.diagonal().sum())
        low, high = wilson(right, len(sequences))
        return {
            **{name: round(value, 6) for name, value in figures.items()},
            "right": right,
            "accuracy_low": low,
            "accuracy_high": high,
            "confusion": last.tolist(),
            "classes": list(spec.answer.classes),
            "sequences": len(sequences),
            "cut_at_labels": any(s.cut for s in sequences),
            "steps": len(all_steps),
        }

    def decided(self, spec: ModelSpec, answer: NDArray[Any]) -> NDArray[np.str_]:
        """(): the class at the last step."""
        return np.array(spec.answer.classes[int(answer[-1].argmax())])

    def chances(self, spec: ModelSpec, answer: NDArray[Any]) -> NDArray[np.float64]:  # noqa: ARG002
        """(O,): of each class, at the last step."""
        return softmax(answer[-1])

    def score(self, metrics: Metrics) -> float:
        """The accuracy at the last step."""
        return float(metrics["accuracy"])

    def draw(
        self,
        spec: ModelSpec,
        sequences: Many[Sequence],  # noqa: ARG002
        answers: Answers,  # noqa: ARG002
        metrics: Metrics,
    ) -> Figure:
        return plot_confusion(metrics["confusion"], spec.answer.classes)

    def closing(self, test: Metrics, carried: Metrics | None) -> list[str]:
        lines = [
            f"test accuracy   {test['accuracy']:.4f} at the last step of {test['sequences']} "
            f"sequences, {test['accuracy_all_steps']:.4f} over all {test['steps']:,} steps",
            f"                {interval(test)}",
            f"test macro F1   {test['macro_f1']:.4f}",
        ]
        if carried:
            last = carried["accuracy"]
            every = carried["accuracy_all_steps"]
            lines.append(f"never reset     {last:.4f} at the last step, {every:.4f} over all steps")
        return lines

    def verdict(self, test: Metrics) -> list[str]:
        last = percent(test["accuracy"])
        every = percent(test["accuracy_all_steps"])
        sentence = (
            f"On the {test['sequences']} sequences of the test split the answer at the last step "
            f"is right in {last}, and over all {test['steps']:,} steps in {every}."
        )
        said = [sentence, interval(test)]
        cut = (
            "Recordings were cut at the changes of their label, and each piece was answered from "
            "the zero state. A board does not know these places."
        )
        # Runs of an earlier version don't say it.
        return [*said, cut] if test.get("cut_at_labels") else said

    def detail(self, test: Metrics) -> Detail | None:
        head = ("class", "sequences", "answered so", "precision", "recall", "F1")
        counts = np.asarray(test["confusion"])
        rows = []
        for k, name in enumerate(test["classes"]):
            right, true, told = (
                int(n) for n in (counts[k, k], counts[k].sum(), counts[:, k].sum())
            )
            shares = right / told if told else None, right / true if true else None
            f1 = 2 * right / (true + told) if true + told else None
            rows.append((name, true, told, *shares, f1))
        caption = "Each class at the last step of the test split's sequences, in float32."
        return Detail(caption, head, rows)

    def change(self, found: Metrics, float32: Metrics) -> str:
        last, every = (signed(-points) for points in self.worse(found, float32))
        return f"{last} points of accuracy {LAST} and {every} over all steps"

    def worse(self, found: Metrics, float32: Metrics) -> list[float]:
        keys = ("accuracy", "accuracy_all_steps")
        return [100 * (float32[key] - found[key]) for key in keys]

    def carried(self, reset: Metrics, carried: Metrics) -> tuple[list[Carried], bool]:
        """Worse from 2 points on."""
        shares = {
            "accuracy": f"the answer {LAST} is right in",
            "accuracy_all_steps": f"over all {carried['steps']:,} steps in",
        }
        parts = [Carried(w, percent(carried[k]), percent(reset[k])) for k, w in shares.items()]
        return parts, any(carried[key] < reset[key] - 0.02 for key in shares)


def interval(test: Metrics) -> str:
    """Of the accuracy at the last step, in words."""
    low, high = (100 * test[key] for key in ("accuracy_low", "accuracy_high"))
    right = f"{test['right']:,} of {test['sequences']:,} sequences are right at the last step"
    return f"{right}: 95 % interval {low:.1f} to {high:.1f} %, if they are independent."


TASK = ClassTask()
