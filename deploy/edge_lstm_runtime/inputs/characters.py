"""Task "language": characters as indices and one-hot rows, and text that a model goes on with."""

from __future__ import annotations

import reprlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SampleError
from ..model.spec import UNKNOWN, ModelSpec


def one_hot(spec: ModelSpec, indices: NDArray[Any], where: str = "") -> NDArray[np.float64]:
    """indices: (..., 1) of any kind of number -> (..., V). Raises SampleError, naming the row of `where` ("step", say), for one that is no
    whole number from 0 to V - 1.
    """
    chosen, count = indices[..., 0], len(spec.classes)
    good = (chosen >= 0) & (chosen < count) & (chosen == np.floor(chosen))
    if not good.all():
        place = tuple(np.argwhere(~good)[0])
        at = f"{where} {place[0]}: " if where and place else ""
        raise SampleError(
            f"{at}channel {spec.channels[0]!r} is {chosen[place]}; expected the index of a character, a whole number from 0 to {count - 1}"
        )
    rows: NDArray[np.float64] = np.zeros((*chosen.shape, count))
    np.put_along_axis(rows, chosen[..., None].astype(np.int64), 1.0, axis=-1)
    return rows


def index_of(spec: ModelSpec, character: str) -> int:
    """Raises SampleError for a character that the model doesn't know."""
    if character in spec.classes and character != UNKNOWN:
        return spec.classes.index(character)
    known = "".join(c for c in spec.classes if c != UNKNOWN)
    hint = "; use lower case" if character.lower() in spec.classes else ""
    raise SampleError(
        f"character {reprlib.repr(character)} is not one that the model knows; expected one of {known!r}{hint}"
    )


def encode(spec: ModelSpec, text: str) -> NDArray[np.float64]:
    """(len(text), 1) the samples of a text. Raises SampleError for a character that the model doesn't know."""
    return np.array([[index_of(spec, character)] for character in text], np.float64).reshape(-1, 1)
