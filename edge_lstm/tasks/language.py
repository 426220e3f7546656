"""The next character of a text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from edge_lstm_runtime.layers import FEATURES
from edge_lstm_runtime.tasks.language import Language

from ..config.base import Contradiction, Count, with_fact
from ..config.sections import TaskSection, TrainConfig, Whole
from ..data.characters import of_characters
from ..data.recordings import Parts, Splits
from ..data.sources import SOURCES


class TrainSection(TrainConfig):
    """[train] of task "language", which always carries the state of each stream on."""

    NOT_HERE: ClassVar[Mapping[str, str]] = {
        "carry": "has no meaning for task 'language', whose streams always carry their state; remove it",
    }

    @property
    def share_carried(self) -> float:
        return 1.0


class Section(TaskSection):
    """[model] of task "language".

    embedding  each character is trained as a vector of this size; the exported model has it folded
               into its first layer
    """

    MONITORS = ("loss", "bits_per_character", "perplexity")
    NOT_HERE: ClassVar[Mapping[str, str]] = {
        "bidirectional": "is for task 'classify': it would read the characters that it is to tell; remove it",
    }
    USES = frozenset({"temperature"})
    Train = TrainSection
    reads_characters = True
    splits_within_recordings = True

    embedding: Count | None = None

    @property
    def network_options(self) -> dict[str, Any]:
        return {**super().network_options, "embedding": self.embedding}

    def divide(self, parts: Parts, channels: tuple[str, ...]) -> Splits:
        return of_characters(parts, channels)

    def answer(self, splits: Splits, dt_name: str) -> Language:  # noqa: ARG002
        return Language(splits.classes)

    def rules(self, config: Whole) -> Iterator[Contradiction]:
        if not config.data.characters:
            texts = " or ".join(f"{name!r}" for name in with_fact(SOURCES, "characters"))
            yield ("data", "source"), f"expected {texts}, for task 'language'"
        if config.data.split.by == "group":
            ends = "'time' (the end of the text is held out) or 'given'"
            yield ("data", "split", "by"), f"expected {ends}, for task 'language'"
        if config.augment is not None:
            characters = "whose inputs are characters; remove the section"
            yield ("augment",), f"has no meaning for task 'language', {characters}"
        if self.embedding is not None and (config.quantize or config.prune):
            layer = "which take the first layer as the board has it; remove it"
            yield ("model", "embedding"), f"can't be with [quantize] or [prune], {layer}"
        yield from super().rules(config)
        readers = [n for n in self.network(1, 1).layers if FEATURES in n.inputs]
        if self.embedding is not None and any(len(layer.inputs) > 1 for layer in readers):
            alone = f"expected layers that read {FEATURES!r} alone, into which it is folded"
            yield ("model", "embedding"), alone
