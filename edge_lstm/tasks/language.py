"""The next character of a text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Many
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.errors import DataError
from edge_lstm_runtime.layers import FEATURES
from edge_lstm_runtime.model.spec import ModelSpec
from edge_lstm_runtime.tasks.language import Language

from ..config.base import Contradiction, Count, with_fact
from ..config.sections import TaskSection, TrainConfig, Whole
from ..data.characters import next_characters, of_characters
from ..data.recordings import Parts, Sequence, Splits
from ..data.sources import SOURCES
from ..results.characters import bits_of
from ..results.plots import TRAIN, VALIDATION, label_axes, new_figure, plain
from ..results.words import more, signed
from ..training.losses import StepClassLoss
from ..training.tally import Sum, Tally
from .base import Answers, Carried, Metrics, Task, softmax

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WINDOW = 500  # characters of a mean in the figure


class TrainSection(TrainConfig):
    """[train] of task "language", which always carries the state of each stream on."""

    NOT_HERE: ClassVar[Mapping[str, str]] = {
        "carry": "has no meaning for task 'language', whose streams always carry their state; "
        "remove it",
    }

    @property
    def share_carried(self) -> float:
        return 1.0


class Section(TaskSection):
    """[model] of task "language".

    embedding  each character is trained as a vector of this size. The exported model has it folded
               into its first layer
    """

    MONITORS = ("loss", "bits_per_character", "perplexity")
    NOT_HERE: ClassVar[Mapping[str, str]] = {
        "bidirectional": "is for task 'classify': it would read the characters that it is to tell; "
        "remove it",
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


class CharacterTally(Tally):
    def figures(self, loss: float, steps: int, total: Sum) -> dict[str, float]:  # noqa: ARG002
        return {
            "val_bits_per_character": loss / math.log(2),
            "val_perplexity": math.exp(min(loss, 700.0)),
        }


class CharacterTask(Task):
    figure = "language.png"
    titles: ClassVar[Mapping[str, str]] = {
        "bits_per_character": "bits per character",
        "perplexity": "perplexity",
        "accuracy": "accuracy of the likeliest",
    }
    printed = ("bits_per_character", "perplexity")
    rivals: ClassVar[Mapping[str, str]] = {
        "unigram": "edge_lstm.compare.characters:unigram",
        "bigram": "edge_lstm.compare.characters:bigram",
    }
    quick = ("unigram", "bigram")

    def targets(
        self,
        spec: ModelSpec,  # noqa: ARG002
        sequence: Sequence,
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The next character. It is unknown at the last step."""
        target = np.append(next_characters(sequence), 0)
        return target, np.arange(len(target)) < len(target) - 1

    def loss(self, config: TrainConfig, spec: ModelSpec) -> StepClassLoss:  # noqa: ARG002
        return StepClassLoss()

    def tally(self, spec: ModelSpec, sequences: Many[Sequence]) -> CharacterTally:  # noqa: ARG002
        return CharacterTally()

    def evaluate(
        self,
        spec: ModelSpec,
        sequences: Many[Sequence],
        answers: Answers,
        season: int | None,  # noqa: ARG002
    ) -> dict[str, Any]:
        """bits_per_character, perplexity, accuracy of the likeliest character, and the verdict.

        The bits are the mean of -log2 of the true next character's probability, and the perplexity
        is 2 to that power.
        """
        truth = np.concatenate([next_characters(s) for s in sequences])
        if not len(truth):
            raise DataError(
                f"no text of the {len(sequences)} has two characters, so there is no next one to "
                "measure; expected longer ones"
            )
        logits = np.concatenate([a[:-1] for a in answers])
        each = [bits_of(s, a) for s, a in zip(sequences, answers, strict=True)]
        bits = float(np.concatenate(each).mean())
        count = len(spec.answer.classes)
        perplexity = 2 ** min(bits, 1000.0)
        verdict = (
            f"Of {len(truth):,} characters of held-out text the model needs {bits:.3f} bits each, "
            f"perplexity {perplexity:.3g}; with all {count} alike it would be "
            f"{math.log2(count):.3f} and {count}."
        )
        return {
            "bits_per_character": bits,
            "perplexity": perplexity,
            "accuracy": float((logits.argmax(axis=1) == truth).mean()),
            "sequences": len(sequences),
            "steps": len(truth),
            "verdict": verdict,
        }

    def decided(self, spec: ModelSpec, answer: NDArray[Any]) -> NDArray[np.str_]:
        """(T,): the likeliest next character at each step."""
        names: NDArray[np.str_] = np.array(spec.answer.names)
        told: NDArray[np.str_] = names[answer.argmax(axis=1)]
        return told

    def chances(self, spec: ModelSpec, answer: NDArray[Any]) -> NDArray[np.float64]:  # noqa: ARG002
        """(T, O): of each character, at each step."""
        return softmax(answer)

    def score(self, metrics: Metrics) -> float:
        """Minus the bits per character, of which fewer are better."""
        return -float(metrics["bits_per_character"])

    def draw(
        self,
        spec: ModelSpec,
        sequences: Many[Sequence],
        answers: Answers,
        metrics: Metrics,  # noqa: ARG002
    ) -> Figure:
        """Bits per character along the longest text, and by character over all texts."""
        figure = new_figure(12, 3.8)
        along, by_character = figure.subplots(1, 2, width_ratios=(1, 1.4))
        bits = [bits_of(s, a) for s, a in zip(sequences, answers, strict=True)]
        longest = max(bits, key=len)
        window = min(WINDOW, len(longest))
        means = longest[: len(longest) // window * window].reshape(-1, window).mean(axis=1)
        along.plot(window * (np.arange(len(means)) + 0.5), means, color=VALIDATION, linewidth=1.2)
        along.set_ylim(bottom=0)
        label_axes(
            along,
            f"Held-out text, means of {window} characters",
            "character of the text",
            "bits per character",
        )
        truth = np.concatenate([next_characters(s) for s in sequences])
        values = np.concatenate(bits)
        classes = spec.answer.classes
        count = np.bincount(truth, minlength=len(classes))
        shown = np.argsort(-count, kind="stable")[: min(40, int((count > 0).sum()))]
        mean = np.bincount(truth, values, minlength=len(classes))[shown] / count[shown]
        by_character.bar([plain(repr(classes[k]).strip("'")) for k in shown], mean, color=TRAIN)
        label_axes(
            by_character, "By the character that came, the most frequent first", "character", "bits"
        )
        return figure

    def closing(self, test: Metrics, carried: Metrics | None) -> list[str]:  # noqa: ARG002
        return [test["verdict"]]

    def change(self, found: Metrics, float32: Metrics) -> str:
        (bits,) = self.worse(found, float32)
        return f"{signed(bits)} % bits per character"

    def worse(self, found: Metrics, float32: Metrics) -> list[float]:
        return [more(found["bits_per_character"], float32["bits_per_character"])]

    def carried(self, reset: Metrics, carried: Metrics) -> tuple[list[Carried], bool]:
        """Worse from 2 % on."""
        bits = carried["bits_per_character"]
        before = reset["bits_per_character"]
        part = Carried("a character takes", f"{bits:.4g} bits", f"{before:.4g}")
        return [part], bits > 1.02 * before


TASK = CharacterTask()
