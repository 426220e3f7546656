"""The states of all streams of a model in one file, which is never half written.

NAME.state is an .npz archive with the sha256 of its bytes behind it: the arrays of stream k as
"k.ARRAY", the streams' names as JSON in "streams" (bytes), and "model" (16,), the fingerprint of
specification and weights. A state of another model is never restored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError, BundleError
from ..files import atomic_write, sealed, unsealed
from ..model.npz import read_npz, write_npz

State = dict[str, NDArray[Any]]
MOST = 1 << 28  # bytes


def save(path: Path, model: NDArray[np.uint8], states: Mapping[str, State]) -> None:
    """states: by the stream's name. Raises OSError."""
    arrays: State = {"model": model}
    arrays["streams"] = np.frombuffer(json.dumps(list(states)).encode(), np.uint8)
    for k, state in enumerate(states.values()):
        arrays |= {f"{k}.{name}": array for name, array in state.items()}
    with atomic_write(path) as file:
        file.write(sealed(write_npz(arrays)))


def restore(path: Path, model: NDArray[np.uint8]) -> dict[str, State]:
    """The states by the stream's name, none if there is no file.

    Raises BackendError if it is damaged, of another model, or can't be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MOST + 1)
    except FileNotFoundError:
        return {}
    except OSError as e:
        raise BackendError(f"can't read the states in {path}: {e.strerror}") from e
    try:
        content, had_seal = unsealed(data)
        if not had_seal:
            raise ValueError("it has no sha256 at its end")
        arrays = read_npz(content, path.name)
        if not np.array_equal(arrays["model"], model):
            raise BackendError(f"the states in {path} are of another model")
        names = json.loads(arrays["streams"].tobytes())
        found: dict[str, State] = {name: {} for name in names}
        for key, array in arrays.items():
            number, dot, name = key.partition(".")
            if dot:
                found[names[int(number)]][name] = array
    except (BundleError, ValueError, KeyError, IndexError, TypeError) as e:
        raise BackendError(f"the states in {path} are damaged: {e}") from e
    return found
