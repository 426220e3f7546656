"""Which cell remembers a noun's number until its verb, if many words stand between them.

"the cat , which the dogs often chased ... , was": the verb agrees with the first noun, not with the
nearest. The sentences are generated, so that the gap is known.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from nets import chain, plain_inputs
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy, one_hot
from torch.nn.utils import clip_grad_norm_

from edge_lstm.compare.comparison import read_json, same_plan
from edge_lstm.compare.recurrent import TITLES
from edge_lstm.network import CompactNet
from edge_lstm.results import plots
from edge_lstm.results.plots import TRAIN, VALIDATION, label_axes, new_figure
from edge_lstm.threads import using
from edge_lstm.training import checkpoint
from edge_lstm.training.claim import claimed
from edge_lstm.training.loop import learning_rate
from edge_lstm.training.progress import Reporter
from edge_lstm_runtime.files import atomic_write
from edge_lstm_runtime.layers import recurrent_types
from edge_lstm_runtime.model.spec import ModelSpec
from edge_lstm_runtime.tasks.classify import Classify

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOUNS = (("cat", "cats"), ("dog", "dogs"), ("bird", "birds"), ("child", "children"))
OTHERS = ("the", ",", "which", "often", "rarely", "chased", "saw", "heard")
VOCABULARY = (*(noun for pair in NOUNS for noun in pair), *OTHERS)
VERBS = ("was", "were")
GAPS = (10, 20, 50, 100, 150, 200)
SHORTEST = min(GAPS)
HIDDEN = 24
BATCH = 32
STEPS = 250
PEAK = 5e-3
CURRICULUM = 0.6  # share of the steps in which the longest gap grows from 10 to 200
SEEDS = (0, 1, 2, 3, 4)
SENTENCES = 500  # of each gap in the test


@dataclasses.dataclass(frozen=True)
class Agreement:
    """accuracy: by cell, for each seed a share for each of `gaps`. Chance is a half.

    seconds: of all seeds.
    """

    gaps: tuple[int, ...]
    accuracy: dict[str, list[list[float]]]
    parameters: dict[str, int]
    seconds: dict[str, float]

    @property
    def markdown(self) -> str:
        lines = [
            ["model", *(f"gap {gap}" for gap in self.gaps), "parameters", "training, s"],
            ["---", *["---:"] * (len(self.gaps) + 2)],
        ]
        for cell, shares in self.accuracy.items():
            spread = [
                f"{min(of_gap):.3f} to {max(of_gap):.3f}" for of_gap in zip(*shares, strict=True)
            ]  # over the seeds
            lines.append(
                [TITLES[cell], *spread, str(self.parameters[cell]), f"{self.seconds[cell]:.0f}"]
            )
        return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def agreement(
    out: str | Path,
    *,
    resume: bool = False,
    seeds: Sequence[int] = SEEDS,
    steps: int = STEPS,
    hidden_size: int = HIDDEN,
    quiet: bool = False,
) -> Agreement:
    """Train the cells alike and write OUT/agreement.md, .json and .png.

    Each sees the same sentences in the same order. steps: of training, BATCH sentences each. With
    `resume` the cells that are done are kept, if seeds, steps and size are the same. Raises
    TrainingError if the folder can't be used.
    """
    out = Path(out)
    with claimed(out, "comparison", ("plan.json",), resume=resume):
        return _compared(out, seeds, steps, hidden_size, Reporter(quiet=quiet))


def _compared(
    out: Path, seeds: Sequence[int], steps: int, hidden_size: int, reporter: Reporter
) -> Agreement:
    same_plan(
        out / "plan.json",
        {
            "config": {"seeds": list(seeds), "steps": steps, "hidden_size": hidden_size},
            "fingerprint": "agreement",
        },
    )
    (out / "rows").mkdir(exist_ok=True)
    found = Agreement(GAPS, {}, {}, {})
    for cell in kinds():
        found.accuracy[cell] = []
        found.seconds[cell] = 0.0
        for seed in seeds:
            file = out / "rows" / f"{cell}-{seed}.json"
            row = read_json(file)
            if row is None:
                began = time.perf_counter()
                with using(1):
                    model = _train(cell, seed, steps, hidden_size, reporter)
                    seconds = time.perf_counter() - began
                    row = {
                        "accuracy": [accuracy(model, gap, seed) for gap in GAPS],
                        "parameters": model.network.parameters,
                        "seconds": seconds,
                    }
                checkpoint.save_json(file, row)
            found.accuracy[cell].append(row["accuracy"])
            found.parameters[cell] = row["parameters"]
            found.seconds[cell] += row["seconds"]
    plots.save_figure(picture(found), out / "agreement.png")
    with atomic_write(out / "agreement.md") as stream:
        stream.write(found.markdown.encode())
    checkpoint.save_json(out / "agreement.json", dataclasses.asdict(found))
    return found


def sentences(
    count: int, gap: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(count, gap + 2) words, as places in VOCABULARY, and (count,) the verb that follows.

    The verb is 0 for "was", 1 for "were". A sentence is "the", the noun, then `gap` words: first
    ", which", clauses of "the NOUN ADVERB VERB" whose nouns have numbers of their own, cut to fit,
    and ",".
    """
    place = {word: k for k, word in enumerate(VOCABULARY)}
    number = rng.integers(2, size=count)
    words = np.empty((count, gap + 2), np.int64)
    words[:, 0] = place["the"]
    words[:, 1] = 2 * rng.integers(len(NOUNS), size=count) + number
    inner = words[:, 2:]
    kinds: tuple[Sequence[str], ...] = (
        ("the",),
        VOCABULARY[: 2 * len(NOUNS)],
        ("often", "rarely"),
        ("chased", "saw", "heard"),
    )
    for k in range(2, gap - 1):
        choices = np.array([place[word] for word in kinds[(k - 2) % len(kinds)]])
        inner[:, k] = rng.choice(choices, size=count)
    inner[:, 0] = place[","]
    inner[:, 1] = place["which"]
    inner[:, -1] = place[","]
    return words, number


def accuracy(model: CompactNet, gap: int, seed: int) -> float:
    """The share of SENTENCES new sentences that the model answers rightly."""
    words, number = sentences(SENTENCES, gap, np.random.default_rng((seed, 1, gap)))
    with torch.inference_mode():
        answer = model(_one_hot(words))[0][:, -1].argmax(dim=1).numpy()
    return float((answer == number).mean())


def kinds() -> list[str]:
    """The layer types that are compared: those of TITLES that the runtime has."""
    known = recurrent_types()
    return [kind for kind in TITLES if kind in known]


def _train(cell: str, seed: int, steps: int, hidden_size: int, reporter: Reporter) -> CompactNet:
    network = chain(len(VOCABULARY), hidden_size, 1, len(VERBS), cell)
    spec = ModelSpec(plain_inputs(VOCABULARY), network, Classify(VERBS))
    torch.manual_seed(seed)
    model = CompactNet(spec)
    optimizer = torch.optim.Adam(model.parameters(), lr=PEAK)
    rng = np.random.default_rng((seed, 0))
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, 0.05, PEAK)
        grown = min(1.0, step / (CURRICULUM * steps))
        longest = round(SHORTEST * (max(GAPS) / SHORTEST) ** grown)
        words, number = sentences(BATCH, int(rng.integers(SHORTEST, longest + 1)), rng)
        optimizer.zero_grad()
        loss = cross_entropy(model(_one_hot(words))[0][:, -1], torch.from_numpy(number))
        torch.autograd.backward(loss)
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % math.ceil(steps / 6) == 0 or step + 1 == steps:
            reporter.line(
                f"{TITLES[cell]}, seed {seed}: step {step + 1}/{steps}, "
                f"gaps up to {longest}, loss {loss.item():.3f}"
            )
    return model.eval()


def _one_hot(words: NDArray[np.int64]) -> torch.Tensor:
    return one_hot(torch.from_numpy(words), len(VOCABULARY)).float()


def picture(found: Agreement) -> Figure:
    figure = new_figure(6.4, 4)
    ax: Any = figure.add_subplot()
    for k, (cell, colour) in enumerate(
        zip(found.accuracy, (VALIDATION, TRAIN, "#777777"), strict=False)
    ):  # thinner ones over thicker ones
        for n, shares in enumerate(found.accuracy[cell]):
            label = TITLES[cell] if n == 0 else None
            ax.plot(
                found.gaps,
                shares,
                "o-",
                color=colour,
                label=label,
                linewidth=6 - 2 * k,
                markersize=12 - 3 * k,
            )
    ax.axhline(0.5, color="#bbbbbb", linestyle="--", linewidth=1, label="chance")
    ax.set_ylim(0.35, 1.05)
    ax.legend(frameon=False)
    label_axes(
        ax,
        "Subject and verb agree: a line for each seed",
        "words between noun and verb",
        "accuracy",
    )
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: long_gap.py -o runs/agreement"
    )
    parser.add_argument(
        "-o", "--out", metavar="FOLDER", type=Path, required=True, help="the folder to write"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on in FOLDER; finished cells are kept"
    )
    arguments = parser.parse_args()
    print(agreement(arguments.out, resume=arguments.resume).markdown, end="")
    print(f"\nwritten  {arguments.out}/agreement.md, agreement.json, agreement.png")


if __name__ == "__main__":
    main()
