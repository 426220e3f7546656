"""The models that are served: their bundles, backends, streams and counts."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

from .. import stored
from ..errors import BackendError, ConfigError
from ..loading import Model
from ..session import Session
from ..shown import in_a_line
from ..verify.auto import choose_backend
from .metrics import Counts
from .stream import Stream

MOST_STREAMS = 256


@dataclasses.dataclass(frozen=True)
class Served:
    """A bundle that was checked on a backend. digest: sha256 of the file."""

    path: Path
    model: Model
    backend: str
    artifact: str | None
    digest: str

    def session(self) -> Session:
        return self.model.session(self.backend, artifact=self.artifact, verify=False)


def bundles(path: Path) -> dict[str, Path]:
    """The bundles that a file or a folder holds, by name. Raises ConfigError."""
    if not path.is_dir():
        return {path.stem: path}
    found = {file.stem: file for file in sorted(path.glob("*.edge"))}
    if not found:
        raise ConfigError(f"the folder {path} has no bundle; expected files NAME.edge")
    return found


def serve_bundle(model: Model, path: Path, backend: str, artifact: str | None) -> Served:
    """Check a bundle's answers on this machine. path: of its file. Raises EdgeLstmError.

    If "auto" takes no converted model, standard error says why, and what failed.
    """
    if model.spec.whole:
        raise ConfigError(
            f"{path} is bidirectional: it answers whole sequences and carries no state; use "
            "`edge-lstm run`"
        )
    if backend == "auto":
        choice = choose_backend(model.bundle, artifact=artifact)
        choice.backend.close()
        for reason in choice.passed_over:
            say(f"{path.stem} on {choice.name}; {reason}")
        backend = choice.name
        artifact = choice.artifact
    else:
        model.session(backend, artifact=artifact).close()
    return Served(path, model, backend, artifact, model.bundle.digest)


class ServedModel:
    """A model and its streams. Only the worker calls its methods, but for `name`."""

    def __init__(self, name: str, served: Served, states: Path | None):
        """states: the folder of the states, None if they are not kept."""
        self.name = name
        self.served = served
        self.streams: dict[str, Stream] = {}
        self.counts = Counts(served.model.spec)
        self._probe: tuple[Session, Any] | None = None
        self._spare: Stream | None = None  # of zero state
        self._file = None if states is None else states / f"{name}.state"

    def stream(self, name: str) -> Stream:
        """The stream of this name, a new one if there is none. Raises ConfigError."""
        found = self.streams.get(name)
        if found is None:
            if len(self.streams) >= MOST_STREAMS:
                raise ConfigError(
                    f"there are {MOST_STREAMS} streams already; expected no more: does something "
                    "make up names?"
                )
            found = self._spare or Stream(name, self.served.session())
            self._spare = None
            found.name = name
            self.streams[name] = found
        return found

    def forget(self, name: str) -> None:
        """Take back a stream that has used no sample: bad messages must not use up the streams."""
        stream = self.streams.pop(name)
        if self._spare is not None:
            self._spare.session.close()
        self._spare = stream

    def swap(self, served: Served) -> int:
        """Go on with another bundle. Returns how many streams keep their states.

        They do if specification and weights are the same.
        """
        states = {name: stream.state for name, stream in self.streams.items()}
        self.close()
        self.served = served
        self.streams = {}
        self._spare = None
        if served.model.spec != self.counts.spec:
            self.counts = Counts(served.model.spec)
        return self._take(states)

    def _take(self, states: dict[str, stored.State]) -> int:
        kept = 0
        for name, state in states.items():
            stream = self.stream(name)
            try:
                stream.state = state
                kept += 1
            except BackendError:  # of another model
                stream.reset()
        return kept

    def restore(self) -> None:
        """Take the saved states. If they don't fit, standard error says why."""
        if self._file is None:
            return
        try:
            states = stored.restore(self._file, self.served.model.bundle.fingerprint)
        except BackendError as e:
            say(f"{e}; all streams start from zero")
            return
        if states is None:
            say(stored.other_model(self._file))
            return
        if (kept := self._take(states)) < len(states):
            say(f"{self.name}: {len(states) - kept} of {len(states)} states did not fit")

    def save(self) -> None:
        """Raises OSError."""
        if self._file is not None:
            states = {name: stream.state for name, stream in self.streams.items()}
            stored.save(self._file, self.served.model.bundle.fingerprint, states)

    def probe(self) -> None:
        """A step of a golden sample, outside of all streams. Raises EdgeLstmError if it fails."""
        if self._probe is None:
            self._probe = self.served.session(), self.served.model.bundle.golden[0][0]
        session, x = self._probe
        session.step(x)

    def close(self) -> None:
        for stream in (*self.streams.values(), *filter(None, [self._spare])):
            stream.session.close()
        if self._probe is not None:
            self._probe[0].close()
            self._probe = None


def say(words: str) -> None:
    """A line on standard error."""
    sys.stderr.write(f"edge-lstm: {in_a_line(words)}\n")
    sys.stderr.flush()
