"""How much context a language model uses: the bits that the next character takes, so many
characters after the state was reset.

The whole text is compared with a truncated one, after Khandelwal et al. 2018 (arXiv 1805.04623).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm import Run
from edge_lstm.results.answers import answers
from edge_lstm.results.characters import bits_of
from edge_lstm_runtime import DataError

from .recording import Float64

LONGEST = 100  # characters that are read after a reset
MOST = 2000  # resets
NEGLIGIBLE = 0.01  # of the bits with all of the text known
TOLD = (1, 5, 20)  # contexts that the sentence names, beside the longest


@dataclasses.dataclass(frozen=True)
class Context:
    """places: the number of places in the test split at which the state was reset.

    whole  bits per character with all of the text before it known: the test split, streamed once
           from the zero state
    bits   (K,) with only the last k = 1 ... K characters known: `whole`, and the mean by which the
           same characters took more
    """

    places: int
    whole: float
    bits: Float64

    @property
    def used(self) -> int | None:
        """The fewest characters from which on less than 1 % is lost by knowing no more.

        None if K are too few.
        """
        lossy = np.flatnonzero(self.bits >= (1 + NEGLIGIBLE) * self.whole)
        used = int(lossy[-1]) + 2 if len(lossy) else 1
        return used if used <= len(self.bits) else None

    def to_dict(self) -> dict[str, Any]:
        return {
            "places": self.places,
            "whole": self.whole,
            "bits": self.bits.tolist(),
            "used": self.used,
        }

    def sentences(self) -> list[str]:
        longest = len(self.bits)
        told = [k for k in TOLD if k < longest] + [longest]
        truncated = ", ".join(f"{self.bits[k - 1]:.3f}" for k in told)
        said = (
            f"The next character takes {self.whole:.3f} bits with all of the text before it known, "
            f"and {truncated} with the last "
            f"{', '.join(map(str, told))} characters of it alone."
        )
        if self.used is None:
            return [
                said,
                f"With {longest} characters 1 % or more is still lost: "
                "it uses more context than that.",
            ]
        least = f"{self.used} character{'s' if self.used > 1 else ''}"
        return [said, f"It uses a context of {least}: less than 1 % is lost by knowing no more."]


def measure_context(run: Run, longest: int = LONGEST, most: int = MOST) -> Context:
    """Resets the state at up to `most` places of the test split.

    Reads up to `longest` characters after each. Raises DataError if no text of the test split has 5
    characters.
    """
    test = run.splits.test
    streamed = [
        bits_of(sequence, answer)
        for sequence, answer in zip(test, answers(run.model, test), strict=True)
    ]
    steps = min(longest, max(map(len, streamed)) // 4)  # so that the places are not all alike
    if not steps:
        raise DataError(
            f"the texts of the test split have {max(len(s.x) for s in test)} characters or fewer; "
            "expected at least 5"
        )
    # Before each place lie as many characters as are read after it. Fewer would hardly be "all of
    # the text".
    places = [
        (n, start)
        for n, bits in enumerate(streamed)
        for start in range(steps, len(bits) - steps + 1)
    ]
    chosen = [
        places[k] for k in np.unique(np.linspace(0, len(places) - 1, most).round().astype(np.int64))
    ]
    pieces = [
        dataclasses.replace(test[n], x=test[n].x[start : start + steps + 1]) for n, start in chosen
    ]
    reset = np.array(
        [
            bits_of(piece, answer)
            for piece, answer in zip(pieces, answers(run.model, pieces), strict=True)
        ]
    )
    known: NDArray[np.float64] = np.array(
        [streamed[n][start : start + steps] for n, start in chosen]
    )
    whole = float(np.concatenate(streamed).mean())
    return Context(len(chosen), whole, whole + (reset - known).mean(axis=0))
