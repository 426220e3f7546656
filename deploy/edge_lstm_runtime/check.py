"""Is a backend right, on this machine, now? The golden samples of the bundle run through it and are compared with the reference."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .backends import Backend, open_backend
from .backends.rknn import pick_artifact, steps_at_once
from .bundle import Bundle
from .compare import FLOAT32, Comparison, Tolerance, compare
from .errors import BackendError, BackendUnavailableError
from .golden import first, golden_features, run_sequences, sequences

AUTO_STEPS = 200  # enough to tell backends apart and to feel a wrong state, in a few milliseconds


@dataclasses.dataclass(frozen=True)
class Check:
    backend: str
    artifact: str | None
    comparison: Comparison
    tolerance: Tolerance
    microseconds_per_step: float

    @property
    def passed(self) -> bool:
        return self.comparison.within(self.tolerance)


@dataclasses.dataclass(frozen=True)
class Choice:
    """What "auto" took, and what became of every candidate, in words."""

    backend: Backend
    artifact: str | None
    reasons: tuple[str, ...]


def artifacts(bundle: Bundle, backend: str) -> list[str | None]:
    """The members that a backend can run; [None] for backends that need none."""
    return sorted(bundle.manifest.get("artifacts", {})) if _runs_artifacts(backend) else [None]


def _runs_artifacts(backend: str) -> bool:
    return backend.startswith("rknn")


def tolerance_of(bundle: Bundle, artifact: str | None) -> Tolerance:
    """A converted artifact's tolerance stands in the manifest, where the export put it; everything else is float32."""
    if artifact is None:
        return FLOAT32
    return Tolerance(**bundle.manifest["artifacts"][artifact]["tolerance"])


def check_backend(bundle: Bundle, name: str, artifact: str | None = None, steps: int | None = None) -> Check:
    """Run `steps` golden samples (all when None) through a backend and compare. Raises BackendError as opening and running do."""
    # The tolerance is the artifact's own, also where the only one is meant and not named.
    artifact = pick_artifact(bundle, artifact)[0] if _runs_artifacts(name) else None
    backend = open_backend(name, bundle, artifact=artifact)
    try:
        return _check(bundle, backend, name, artifact, steps)
    finally:
        backend.close()


def _check(bundle: Bundle, backend: Backend, name: str, artifact: str | None, steps: int | None) -> Check:
    x, y, lengths = first(bundle, steps)
    rows = golden_features(bundle.spec, x, lengths).astype(backend.dtype)
    at_once, whole = backend.at_once, bundle.spec.bidirectional
    if (artifact is not None and at_once not in lengths) if whole else len(rows) < at_once:  # NumPy would answer all of it
        held = f"golden sequences of {lengths.min()} to {lengths.max()}" if whole else f"{len(rows)} golden samples"
        raise BackendError(f"{artifact} takes {at_once} steps at once, and the bundle has {held}: it can't be checked")
    backend.run(rows[: lengths[0] if whole else max(10, at_once)])  # what a library sets up at its first steps is not the speed of a step
    start = time.perf_counter()
    outputs = run_sequences(backend, rows, lengths)
    elapsed = time.perf_counter() - start
    if outputs.shape != y.shape:
        raise BackendError(f"backend {name!r} gave outputs {outputs.shape}, expected {y.shape}")
    return Check(name, artifact, compare(outputs, y), tolerance_of(bundle, artifact), 1e6 * elapsed / len(x))


def verify_backend(bundle: Bundle, backend: Backend, name: str, artifact: str | None) -> None:
    """The self-check at load, for backends that run a converted model; others are float32 code of ours. Resets the state.

    Raises BackendError, and closes the backend, when its golden samples come out wrong.
    """
    if not _runs_artifacts(name):
        return
    artifact = pick_artifact(bundle, artifact)[0]
    try:
        # Of a chunk two, so that its own state comes back to it.
        result = _check(bundle, backend, name, artifact, max(AUTO_STEPS, 2 * backend.at_once))
        if not result.passed:
            metric = result.tolerance.metric
            raise BackendError(
                f"backend {name!r} gives wrong answers with {artifact} here: {metric} {getattr(result.comparison, metric):.1e} over the "
                f"first {result.comparison.steps} golden samples, at most {result.tolerance.limit:.1e} is right; "
                "use --backend auto, or see `edge-lstm check`"
            )
        backend.reset()
    except BaseException:
        backend.close()
        raise


def choose_backend(bundle: Bundle, candidates: tuple[str, ...] = ("rknn", "onnx", "numpy"), *, artifact: str | None = None) -> Choice:
    """The fastest of the candidates whose golden samples come out within tolerance; BackendError when none does.

    artifact: the only converted member to try; None for all of them. One that takes several steps at once is not tried: "auto" is for
    samples that come one by one.
    """
    wanted = artifact
    best: tuple[float, Backend, str | None] | None = None
    reasons = []
    for name in candidates:
        for artifact in [wanted] if wanted and _runs_artifacts(name) else artifacts(bundle, name) or [None]:
            label = name if artifact is None else f"{name} ({artifact})"
            if artifact is not None and (at_once := steps_at_once(bundle, artifact)) > 1 and not bundle.spec.bidirectional:
                reasons.append(f"{label}: not tried: it takes {at_once} steps at once, and single steps gain nothing from it")
                continue
            try:
                backend = open_backend(name, bundle, artifact=artifact)
            except BackendError as e:
                reasons.append(f"{label}: {'not here' if isinstance(e, BackendUnavailableError) else 'failed'}: {e}")
                continue
            try:
                result = _check(bundle, backend, name, artifact, AUTO_STEPS)
            except BackendError as e:
                reasons.append(f"{label}: failed: {e}")
                backend.close()
                continue
            error = f"{result.tolerance.metric} {getattr(result.comparison, result.tolerance.metric):.1e}"
            reasons.append(f"{label}: {'right' if result.passed else 'WRONG'} ({error}), {result.microseconds_per_step:.1f} µs a step")
            if not result.passed or (best is not None and best[0] <= result.microseconds_per_step):
                backend.close()
                continue
            if best is not None:
                best[1].close()
            backend.reset()
            best = result.microseconds_per_step, backend, artifact
    if best is None:
        raise BackendError("no backend gives right answers here: " + "; ".join(reasons))
    return Choice(best[1], best[2], tuple(reasons))


def latencies(bundle: Bundle, name: str, artifact: str | None, steps: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Seconds of each of `steps` single steps of a session, raw sample to answer; the golden samples go round.

    Of a converted model that takes T steps at once: of each run of T, divided by T. Of a bidirectional model: of each run of a whole
    sequence, divided by its steps.
    """
    from .model import Session

    x = bundle.golden[0]
    backend = open_backend(name, bundle, artifact=artifact)
    session = Session(bundle.spec, backend)
    chunk = int(bundle.lengths.max()) if bundle.spec.bidirectional else backend.at_once
    runs = -(-steps // chunk)
    times = np.empty(runs)
    answer: Callable[[NDArray[np.float32]], object]
    if bundle.spec.bidirectional:
        samples, answer = [part.astype(np.float32) for part in sequences(x, bundle.lengths)], session.run
    elif chunk == 1:
        samples, answer = [np.asarray(row, np.float32) for row in x], session.step
    else:
        samples, answer = list(np.resize(x, (max(len(x) // chunk, 1), chunk, x.shape[1])).astype(np.float32)), session.run
    clock, count = time.perf_counter, len(samples)
    try:
        for n in range(-min(-(-100 // chunk), runs), runs):  # the first ones warm the caches and are overwritten
            sample = samples[n % count]
            start = clock()
            answer(sample)
            times[max(n, 0)] = (clock() - start) / (len(sample) if answer == session.run else 1)
    finally:
        session.close()
    return times
