"""A class at every step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from edge_lstm_runtime.errors import DataError
from edge_lstm_runtime.tasks.classify import Classify

from ..config.base import Contradiction
from ..config.sections import CarriedTrainConfig, TaskSection, Whole
from ..data.recordings import PARTS, Parts, Recording, Sequence, Splits
from ..data.splits import label_runs


class TrainSection(CarriedTrainConfig):
    """[train] of task "classify".

    loss_steps       the loss is the mean over "all" steps, or at the "last" step of each sequence
    label_smoothing  share of the truth that is spread over all classes
    """

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    loss_steps: Literal["all", "last"] = "all"

    @property
    def loss_options(self) -> dict[str, Any]:
        last = self.loss_steps == "last"
        return {"last_step": last, "label_smoothing": self.label_smoothing}


class Section(TaskSection):
    """[model] of task "classify".

    bidirectional  read each sequence from both ends; the model then answers whole sequences only,
                   never a live stream
    """

    MONITORS = ("loss", "accuracy", "macro_f1")
    HIGHER_IS_BETTER = frozenset({"accuracy", "macro_f1"})
    USES = frozenset({"temperature"})
    Train = TrainSection
    needs_labels = True
    reads_whole_sequences = True

    bidirectional: bool = False

    def divide(self, parts: Parts, channels: tuple[str, ...]) -> Splits:
        runs = {part: label_runs(parts[part]) for part in PARTS}
        classes = _classes(runs)
        train, val, test = (
            [Sequence(r.full_name, r.group, r.x, classes.index(_label(r))) for r in runs[part]]
            for part in PARTS
        )
        return Splits(train, val, test, channels, classes)

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
            train, quantize = config.train, config.quantize
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


def _classes(runs: Parts) -> tuple[str, ...]:
    """The classes of the training split: by number if all are numbers, else by name."""
    names = {part: {_label(run) for run in found} for part, found in runs.items()}
    for part in ("val", "test"):
        if unseen := sorted(names[part] - names["train"]):
            raise DataError(
                f"class {unseen[0]!r} is in the {part} split and not in training, so it can't be "
                "learned; change [data.split] so that training has every class, or leave the "
                "class out"
            )
    if len(names["train"]) < 2:
        one = f"the training split has one class, {min(names['train'])!r}"
        raise DataError(f"{one}; expected at least 2; change [data.split] or `label`")
    try:
        return tuple(sorted(names["train"], key=lambda name: (float(name), name)))
    except ValueError:
        return tuple(sorted(names["train"]))
