"""Characters: a sample is the index of a character, the features are its one-hot row."""

from __future__ import annotations

import dataclasses
import reprlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import BundleError, SampleError
from . import NUMBERS, Float64, Inputs, as_samples, sample_shape

UNKNOWN = "<unk>"  # stands for every character that the training text doesn't have
CHANNEL = "character"


@dataclasses.dataclass(frozen=True)
class Characters(Inputs):
    """characters: the V characters that the model knows, perhaps with UNKNOWN among them.

    channel: the name of the only raw value of a sample, an index into `characters`.
    Raises BundleError for fewer than 2 characters, or one that is repeated or longer.
    """

    kind = "characters"
    characters: tuple[str, ...]
    channel: str = CHANNEL

    def __post_init__(self) -> None:
        known = self.characters
        if not isinstance(known, tuple) or not all(isinstance(c, str) for c in known):
            raise BundleError(f"inputs: characters is {known!r}, expected a list of characters")
        if len(known) < 2 or len(set(known)) < len(known):
            raise BundleError(
                f"inputs: {len(known)} characters, {len(set(known))} of them different; "
                "expected at least 2, each once"
            )
        if odd := [c for c in known if len(c) != 1 and c != UNKNOWN]:
            raise BundleError(
                f"inputs: characters has {odd}; each must be a single character, or {UNKNOWN!r}"
            )

    @property
    def names(self) -> tuple[str, ...]:
        return (self.channel,)

    @property
    def feature_size(self) -> int:
        return len(self.characters)

    def features(self, xs: ArrayLike) -> tuple[Float64, Float64]:
        rows = as_samples(self, xs).astype(np.float64)
        return one_hot(self, rows, "step"), rows

    def preprocessor(
        self,
        dtype: type[np.floating[Any]],
        streams: int | None,
        *,
        keep_last: bool,
    ) -> CharacterPreprocessor:
        return CharacterPreprocessor(self, dtype, streams)

    def index(self, character: str) -> int:
        """The index of a character. Raises SampleError if the model doesn't know it."""
        if character in self.characters and character != UNKNOWN:
            return self.characters.index(character)
        known = "".join(c for c in self.characters if c != UNKNOWN)
        hint = "; use lower case" if character.lower() in self.characters else ""
        raise SampleError(
            f"character {reprlib.repr(character)} is not one that the model knows; "
            f"expected one of {known!r}{hint}"
        )

    def encode(self, text: str) -> Float64:
        """(len(text), 1) the samples of a text. Raises SampleError as `index` does."""
        return np.array([[self.index(c)] for c in text], np.float64).reshape(-1, 1)


def one_hot(inputs: Characters, indices: NDArray[Any], where: str = "") -> Float64:
    """indices: (..., 1) of any kind of number -> (..., V).

    where: the kind of a row for the message, such as "step". Raises SampleError for an index that
    is no whole number from 0 to V - 1.
    """
    chosen = indices[..., 0]
    count = inputs.feature_size
    good = (chosen >= 0) & (chosen < count) & (chosen == np.floor(chosen))
    if not good.all():
        place = tuple(np.argwhere(~good)[0])
        at = f"{where} {place[0]}: " if where and place else ""
        raise SampleError(
            f"{at}channel {inputs.channel!r} is {chosen[place]}; "
            f"expected the index of a character, a whole number from 0 to {count - 1}"
        )
    rows: Float64 = np.zeros((*chosen.shape, count))
    np.put_along_axis(rows, chosen[..., None].astype(np.int64), 1.0, axis=-1)
    return rows


class CharacterPreprocessor:
    """From an index to its one-hot row. Nothing is kept from sample to sample."""

    def __init__(
        self, inputs: Characters, dtype: type[np.floating[Any]], streams: int | None
    ) -> None:
        self._inputs = inputs
        self._single = streams is None
        self._shape = sample_shape(inputs, streams)
        self._features = np.zeros((*self._shape[:-1], inputs.feature_size), dtype)
        self.last: Float64 = np.zeros(self._shape)
        self.memory: dict[str, Float64] = {}

    def reset(self, streams: Sequence[int] | None = None) -> None:
        """There is nothing to set back."""

    def __call__(self, x: ArrayLike) -> NDArray[Any]:
        expected = " x ".join(map(str, self._shape))
        try:
            x = np.asarray(x)
        except (TypeError, ValueError) as e:
            raise SampleError(
                f"sample {reprlib.repr(x)} is no list of numbers; expected {expected}"
            ) from e
        if x.shape != self._shape or x.dtype.kind not in NUMBERS:
            raise SampleError(
                f"sample {reprlib.repr(x.tolist())} is no index of a character; expected {expected}"
            )
        # Many times faster than `one_hot`, for one stream.
        if self._single and 0 <= (value := x.item()) < len(self._features) and value == int(value):
            self._features[:] = 0
            self._features[int(value)] = 1
        else:
            self._features[:] = one_hot(self._inputs, x, "" if self._single else "stream")
        return self._features

    def run(self, xs: NDArray[Any]) -> tuple[NDArray[Any], Float64]:
        rows = one_hot(self._inputs, xs, "row").astype(self._features.dtype)
        return rows, xs.astype(np.float64)
