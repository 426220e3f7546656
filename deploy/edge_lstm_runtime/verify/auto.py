"""The backend "auto": the fastest of those that are right here and now."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence

import numpy as np

from .. import log
from ..backends.artifacts import pick_artifact, steps_at_once
from ..backends.base import Backend
from ..backends.registry import known_facts, open_backend
from ..digest import sha256
from ..errors import BackendError, BackendUnavailableError
from ..model.bundle import Bundle
from ..session import open_session
from ..shown import counted
from . import auto_cache
from .auto_cache import Reason, label
from .check import (
    AUTO_STEPS,
    NOT_USABLE,
    Check,
    artifacts,
    check_opened,
    tolerance_of,
    verdict_of,
)
from .golden import sequences
from .limit import Opened, TookTooLongError, within
from .opening import opening

FAILED = "failed: "  # begins the reason of what was open, or was to be opened, and broke
ROUNDS = 7
ROUND_SECONDS = 5e-4  # for each candidate, unless three steps take longer
_Named = tuple[str, str | None]  # a backend, and the artifact that it runs


@dataclasses.dataclass(frozen=True)
class Choice:
    """The choice of "auto", and the fate of every candidate. name: as for `open_backend`."""

    backend: Backend
    name: str
    artifact: str | None
    reasons: tuple[Reason, ...]

    @property
    def passed_over(self) -> tuple[Reason, ...]:
        """Why it is no converted model, and what failed. Empty if it is one.

        >>> import edge_lstm_runtime as rt
        >>> choice = rt.choose_backend(rt.read_bundle("mine.edge"), ["numpy"])
        >>> choice.passed_over
        ()
        >>> choice.backend.close()
        """
        if self.artifact is not None:
            return ()
        return tuple(r for r in self.reasons if r.artifact is not None or r.text.startswith(FAILED))

    def __repr__(self) -> str:
        member = f" with {self.artifact}" if self.artifact else ""
        return f"Choice({self.name}{member}, of {counted(len(self.reasons), 'candidate')})"


@dataclasses.dataclass(frozen=True, eq=False)
class _Candidate:
    """An open backend that is right."""

    name: str
    artifact: str | None
    backend: Backend
    check: Check


def candidate_names() -> list[str]:
    """The backends that "auto" may take, devices first.

    A plug-in that can't be loaded is among them, so that the reasons name its error.
    """
    allowed = [
        (name, facts) for name, facts in known_facts().items() if facts is None or facts.auto
    ]
    devices_first = sorted(allowed, key=lambda pair: pair[1] is None or pair[1].runs_on == "cpu")
    return [name for name, _ in devices_first]


def choose_backend(
    bundle: Bundle,
    candidates: Sequence[str] | None = None,
    *,
    artifact: str | None = None,
    streams: int | None = None,
    recall: bool = True,
) -> Choice:
    """The fastest of the candidates whose golden samples come out within tolerance.

    Raises BackendError if there is none, and BackendUnavailableError for an artifact that the
    bundle does not have.

    candidates: names of backends. None for all that are known here but the reference and
    simulators.
    artifact: the only converted member to try, None for all that the export found usable. "auto" is
    for samples that come one by one, so a member that takes several steps at once is not tried
    unless the model is bidirectional.
    streams: N for the fastest backend with N streams, None for one stream.
    recall: if the choice that this machine remembers for the bundle is still right, it is taken and
    no other is tried. False asks anew.

    >>> import edge_lstm_runtime as rt
    >>> choice = rt.choose_backend(rt.read_bundle("mine.edge"), ["numpy"])
    >>> choice, choice.backend
    (Choice(numpy, of 1 candidate), NumpyBackend(numpy))
    >>> choice.backend.close()
    """
    if artifact is not None:
        pick_artifact(bundle, None, artifact)
    names = candidate_names() if candidates is None else candidates
    offered = [(name, member) for name in names for member in artifacts(bundle, name, artifact)]
    key = auto_cache.question(bundle, offered, streams)
    known = auto_cache.recall(key) if recall else None
    if known is not None and (known.backend, known.artifact) in offered:
        try:
            taken = _open(bundle, known.backend, known.artifact, streams, key)
        except BackendError as e:
            log.info(
                "%s was the fastest here and is not right any more: %s",
                label(known.backend, known.artifact),
                e,
            )
        else:
            one = (known.backend, known.artifact)
            said = Reason(*one, f"right ({_error(taken.check)}), remembered as the fastest here")
            others = (r for r in known.reasons if (r.backend, r.artifact) != one)
            return Choice(taken.backend, taken.name, taken.artifact, (said, *others))
    choice, lasting = _choose(bundle, offered, streams, key, named=artifact is not None)
    if lasting:
        auto_cache.remember(
            key, auto_cache.Remembered(choice.name, choice.artifact, choice.reasons)
        )
    return choice


def _choose(
    bundle: Bundle, offered: Sequence[_Named], streams: int | None, key: str, *, named: bool
) -> tuple[Choice, bool]:
    """The choice, and whether to remember it. named: whether the caller named the artifact.

    It is not remembered if a device failed, because the device may recover.
    """
    reasons: dict[_Named, str] = {}
    right: list[_Candidate] = []
    best = None
    lasting = True
    try:
        for name, artifact in offered:
            one = name, artifact
            if (
                artifact is not None
                and (at_once := steps_at_once(bundle, artifact)) > 1
                and not bundle.spec.whole
            ):
                reasons[one] = (
                    f"not tried: it takes {at_once} steps at once, "
                    "and single steps gain nothing from it"
                )
                continue
            try:
                if not named and verdict_of(bundle, name, artifact) == NOT_USABLE:
                    reasons[one] = f"not tried: on the test split the export found it {NOT_USABLE}"
                    continue
                right.append(_open(bundle, name, artifact, streams, key))
                reasons[one] = "right"  # fixes the order; the time follows
            except BackendUnavailableError as e:
                reasons[one] = f"not here: {e}"
                lasting &= artifact is None or isinstance(e.__cause__, ImportError)
            except (_WrongError, TookTooLongError) as e:
                # Another driver or library may make it right, but that is another question to
                # `auto_cache`. So the choice stays lasting.
                reasons[one] = str(e)
            except BackendError as e:
                reasons[one] = f"{FAILED}{e}"
                lasting = False
        times = _race(bundle, right, streams, reasons)
        best = min(times, key=lambda c: times[c], default=None)
    finally:
        for candidate in right:
            if candidate is not best:
                candidate.backend.close()
    said = tuple(Reason(*one, text) for one, text in reasons.items())
    if best is None:
        raise BackendError("no backend gives right answers here: " + "; ".join(map(str, said)))
    return Choice(best.backend, best.name, best.artifact, said), lasting and len(times) == len(
        right
    )


class _WrongError(BackendError):
    pass


def _open(
    bundle: Bundle, name: str, artifact: str | None, streams: int | None, key: str
) -> _Candidate:
    """Open a backend and check it. key: of the question.

    Raises BackendError if it can't be opened or fails, if its golden samples come out wrong, or if
    it has ended processes here.
    """
    tolerance_of(bundle, name, artifact)  # raises if there is no tolerance, before it is opened

    def work(opened: Opened) -> _Candidate:
        backend = opened(open_backend(name, bundle, artifact=artifact, streams=streams))
        try:
            check = check_opened(bundle, backend, name, artifact, AUTO_STEPS, streams)
            if not check.passed:
                raise _WrongError(
                    f"WRONG ({_error(check)}, at most {check.tolerance.limit:.1e} is right)"
                )
            backend.reset()
        except BaseException:
            backend.close()
            raise
        return _Candidate(name, artifact, backend, check)

    with opening(sha256(f"{key} {name} {artifact}".encode())[:16]):
        return within(name, AUTO_STEPS, streams, work)


def _race(
    bundle: Bundle, right: Sequence[_Candidate], streams: int | None, reasons: dict[_Named, str]
) -> dict[_Candidate, float]:
    """Microseconds of a step of each, raw sample to answer, as in a session.

    A candidate that fails here is left out, and `reasons` says why. The candidates take turns, so
    that other work of the machine meets all alike. The time of a candidate is the least of its
    turns' medians: a median ignores interruptions, and the least ignores slow turns.
    """
    x = bundle.golden[0][:AUTO_STEPS]
    whole = bundle.spec.whole
    if whole:  # a sequence is answered at a time
        x = next(iter(sequences(bundle.golden[0], bundle.lengths)))[None]
    dtype = bundle.spec.inputs.sample_dtype
    samples = [np.asarray(row if streams is None else [row] * streams, dtype) for row in x]
    sessions = {candidate: open_session(bundle, candidate.backend, streams) for candidate in right}
    times = dict.fromkeys(right, math.inf)
    clock = time.perf_counter
    for _ in range(ROUNDS):
        for candidate in list(times):
            step = sessions[candidate].run if whole else sessions[candidate].step
            turn = []
            fitting = int(1e6 * ROUND_SECONDS / candidate.check.microseconds_per_step)
            try:
                for n in range(min(max(fitting, 3), 50)):
                    sample = samples[n % len(samples)]
                    start = clock()
                    step(sample)
                    turn.append(clock() - start)
                sessions[candidate].reset()
            except BackendError as e:
                del times[candidate]
                reasons[candidate.name, candidate.artifact] = f"{FAILED}{e}"
                continue
            median = sorted(turn)[len(turn) // 2]  # NumPy's would load its masked arrays
            microseconds = 1e6 * median / (len(x[0]) if whole else 1)
            times[candidate] = min(times[candidate], microseconds)
    for candidate, microseconds in times.items():
        reasons[candidate.name, candidate.artifact] = (
            f"right ({_error(candidate.check)}), {microseconds:.1f} µs a step"
        )
    return times


def _error(check: Check) -> str:
    return f"{check.tolerance.metric} {getattr(check.comparison, check.tolerance.metric):.1e}"
