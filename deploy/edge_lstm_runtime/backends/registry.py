"""Finding a backend by its name, and opening it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from ..errors import BackendError, BackendUnavailableError, ConfigError
from ..registry import Registry
from .base import Backend, Facts, refuse_opaque
from .looped import looped
from .parallel import parallel

if TYPE_CHECKING:
    from ..model.bundle import Bundle

BACKENDS = Registry(
    package="edge_lstm_runtime.backends",
    group="edge_lstm.backends",
    kind="backend",
    marker="FACTS",
    unknown=BackendError,
    broken=BackendUnavailableError,
    others=("auto",),
)


def names() -> list[str]:
    """Every backend that is known here. Its dependencies may not be installed."""
    return BACKENDS.names()


def facts_of(name: str) -> Facts:
    """The facts that a backend states. Its dependencies are not loaded.

    Raises BackendError for an unknown name, BackendUnavailableError for a broken plug-in.
    """
    facts: Facts = BACKENDS.load(name).FACTS
    return facts


def known_facts() -> dict[str, Facts | None]:
    """The facts of every backend, by name. None for a plug-in that can't be loaded."""
    found: dict[str, Facts | None] = {}
    for name in names():
        try:
            found[name] = facts_of(name)
        except BackendUnavailableError:
            found[name] = None
    return found


def refuse_artifact(name: str, artifact: str | None) -> None:
    """Raise ConfigError if an artifact is named and the backend runs none."""
    if artifact is None or facts_of(name).artifact is not None:
        return
    others = [other for other, facts in known_facts().items() if facts and facts.artifact]
    raise ConfigError(
        f"artifact {artifact!r} does not apply to backend {name!r}, which runs no converted model; "
        f"leave it out, or choose one of {', '.join(others)}"
    )


def refuse_threads(name: str, streams: int | None, threads: int) -> None:
    """Raise ConfigError for a number of threads that the streams, or the backend, can't use."""
    if type(threads) is not int or not 1 <= threads <= (streams or 1):
        expected = (
            f"a whole number from 1 to the {streams} streams"
            if streams
            else "1, because only a session with streams=N can be divided"
        )
        raise ConfigError(f"threads is {threads!r}; expected {expected}")
    if threads > 1 and (name == "auto" or not facts_of(name).threads):
        able = [other for other, facts in known_facts().items() if facts and facts.threads]
        raise ConfigError(
            f"threads={threads} does not apply to backend {name!r}; "
            f"leave it out, or choose one of {', '.join(able)}"
        )


def open_backend(
    name: str,
    bundle: Bundle,
    *,
    artifact: str | None = None,
    streams: int | None = None,
    threads: int = 1,
) -> Backend:
    """Open a backend on a bundle.

    artifact: the member of the bundle to run, for a backend that runs converted models. None if the
    bundle has only one for it.
    streams: N, for a backend whose steps take the features of N streams, (N, F). None for one
    stream, (F,).
    threads: of these, how many divide the streams among them.
    Raises BackendUnavailableError if this machine or the bundle lacks what the backend needs,
    BackendError for an unknown name or for streams of a bidirectional model, and ConfigError for an
    artifact if the backend runs none, or for threads that `refuse_threads` refuses.
    """
    refuse_threads(name, streams, threads)
    if streams is not None and bundle.spec.whole:
        raise BackendError(
            f"{streams} streams of a bidirectional model: it answers whole sequences, "
            "one after the other, by `run`"
        )
    module = BACKENDS.load(name)
    refuse_opaque(module.FACTS, bundle.spec.network)
    refuse_artifact(name, artifact)
    open_one: Callable[[], Backend] = partial(module.open_backend, bundle, artifact=artifact)
    if streams is None:
        return open_one()
    if open_streams := getattr(module, "open_streams", None):
        open_part: Callable[[int], Backend] = partial(open_streams, bundle, artifact=artifact)
        return parallel(open_part, streams, threads)
    return looped(open_one, streams)
