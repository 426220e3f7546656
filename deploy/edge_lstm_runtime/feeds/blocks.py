"""The answers to all lines that are there at once, as text."""

from __future__ import annotations

import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SampleError
from ..tasks import json_of
from .lines import Lines, Stepwise, answer_of_line
from .stream import Line

PIECE = 128  # lines that are answered together. The first one waits for the last one's answer


class Blocks(Lines):
    """The same answers to the byte as those of `Lines`, of which plain samples are made together.

    The samples of a detector, of a model that knows times, or with resets after so many of them are
    no plain ones.
    """

    def texts(self, blocks: Iterable[Sequence[Line]], *, goes_on: bool = False) -> Iterator[str]:
        """The answers to all lines, in pieces. None of them should wait for the next one.

        goes_on: the stream does after these lines, so that an answer may stay held.
        """
        for block in blocks:
            yield from self._of_block(block)
        if not goes_on:
            yield from self._json(self.end())

    def _of_block(self, block: Sequence[Line]) -> Iterator[str]:
        at = 0
        while at < len(block):
            outputs = self._outputs(block[at : at + PIECE])
            if outputs is None:
                yield from self._json(self.line(block[at]))
                at += 1
                continue
            at += len(outputs)
            finite = np.isfinite(outputs).all(axis=1)
            count = len(outputs) if finite.all() else int(finite.argmin())
            if count:
                yield self._told(outputs[:count])
            if count < len(outputs):
                answer_of_line(self.session, outputs[count], {"line": self.number + 1})  # raises

    def _json(self, answers: Iterator[dict[str, Any]]) -> Iterator[str]:
        return (json_of(answer) + "\n" for answer in answers)

    def _outputs(self, lines: Sequence[Line]) -> NDArray[Any] | None:
        """(n, O) for the first n lines. None if the first one needs a closer look."""
        read = self.reader.quick() if self._plain else None
        if read is None:
            return None
        numbers = array.array("d")
        count = 0
        for line in lines:
            found = None if isinstance(line, SampleError) else read(line)
            if found is None:
                break
            numbers.extend(found[0])
            count += 1
        if not count:
            return None
        xs = np.frombuffer(numbers).reshape(count, -1)
        far = self.session.spec.inputs.out_of_range(xs)
        if far.any():
            xs = xs[: int(np.argmax(far.any(axis=1)))]
        outputs = self.session.steps(xs) if len(xs) else xs
        return outputs if len(outputs) else None

    @property
    def _plain(self) -> bool:
        """Whether a sample's answer is all that there is to it."""
        return isinstance(self.answering, Stepwise) and not (
            self.session.spec.detector or self.reset_every
        )

    def _told(self, outputs: NDArray[Any]) -> str:
        """outputs: (n, O) of the next lines, at least one."""
        first = self.number + 1
        start = -(self.samples + 1) % self.every
        texts = self.session.spec.answer.texts(outputs[start :: self.every])
        self.number += len(outputs)
        self.samples += len(outputs)
        if self.every > 1:
            last = answer_of_line(self.session, outputs[-1], {"line": self.number})
            assert isinstance(self.answering, Stepwise)
            self.answering.told(last, due=self.samples % self.every == 0)
        numbers = range(first + start, self.number + 1, self.every)
        return "".join(f'{{"line": {n}, {text}}}\n' for n, text in zip(numbers, texts, strict=True))
