"""The states of streams in one file, which is never half written.

It is an .npz archive with the sha256 of its bytes behind it: the arrays of stream k as "k.ARRAY",
the streams' names as JSON in "streams" (bytes), and "model" (16,), the fingerprint of specification
and weights. A state of another model is never restored.

The arrays of a stream are "session.NAME" and "detector.NAME", the states of these, and "clock"
(1,), the time of the last sample in seconds, NaN if there is none. Whoever saves a stream adds its
own, such as "facts", JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .detector import AnomalyDetector
from .errors import BackendError, BundleError
from .files import atomic_write, sealed, unsealed
from .inputs.times import Clock
from .model.npz import read_npz, write_npz
from .session import Session

State = dict[str, NDArray[Any]]
MOST = 1 << 28  # bytes
FACTS = "facts"


def save(path: Path, model: NDArray[np.uint8], states: Mapping[str, State]) -> None:
    """states: by the stream's name. Raises OSError."""
    arrays: State = {"model": model, "streams": told(list(states))}
    for k, state in enumerate(states.values()):
        arrays |= {f"{k}.{name}": array for name, array in state.items()}
    with atomic_write(path) as file:
        file.write(sealed(write_npz(arrays)))


def restore(path: Path, model: NDArray[np.uint8]) -> dict[str, State] | None:
    """The states by the stream's name, {} if there is no file, None if they are of another model.

    Raises BackendError if the file is damaged or can't be read.
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
            return None
        names = heard(arrays["streams"])
        found: dict[str, State] = {name: {} for name in names}
        for key, array in arrays.items():
            number, dot, name = key.partition(".")
            if dot:
                found[names[int(number)]][name] = array
    except (BundleError, ValueError, KeyError, IndexError, TypeError) as e:
        raise BackendError(f"the states in {path} are damaged: {e}") from e
    return found


def other_model(path: Path) -> str:
    """What becomes of states that `restore` doesn't give, for a line on standard error."""
    return f"the states in {path} are of another model; all streams start from zero"


def told(value: Any) -> NDArray[np.uint8]:
    """A value as JSON, in bytes. `heard` gives it back, each float to the bit."""
    return np.frombuffer(json.dumps(value).encode(), np.uint8)


def heard(array: NDArray[Any]) -> Any:
    """Raises ValueError."""
    return json.loads(array.tobytes())


def facts_of(state: State, kind: str) -> Any:
    """The facts of a state. Raises BackendError if they are none or of another kind."""
    found = heard(state[FACTS]) if FACTS in state else {"kind": "a stream of `edge-lstm serve`"}
    if found["kind"] != kind:
        raise BackendError(f"the state is of {found['kind']}; expected {kind}")
    return found


def state_of(session: Session, detector: AnomalyDetector | None, clock: Clock) -> State:
    """What a stream goes on with, copies."""
    found = {f"session.{name}": array for name, array in session.state.items()}
    if detector is not None:
        found |= {f"detector.{name}": np.asarray(a) for name, a in detector.state.items()}
    moment = np.nan if clock.before is None else clock.before
    return {**found, "clock": np.array([moment])}


def set_state(
    value: State, session: Session, detector: AnomalyDetector | None, clock: Clock
) -> None:
    """The inverse of `state_of`. Raises BackendError for a state that doesn't fit."""

    def part(name: str) -> State:
        return {k.removeprefix(name): a for k, a in value.items() if k.startswith(name)}

    try:
        moment = float(value["clock"][0])
    except (KeyError, IndexError, TypeError, ValueError) as e:
        raise BackendError(f"the state lacks its clock: {e!r}") from e
    if detector is not None:
        # A file has no number without an axis, so the score comes back as (1,).
        detector.state = {k: a[0] if a.shape == (1,) else a for k, a in part("detector.").items()}
    session.state = part("session.")
    clock.before = None if np.isnan(moment) else moment
