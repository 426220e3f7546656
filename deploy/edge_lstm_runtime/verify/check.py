"""Is a backend right, on this machine, now? The golden samples of the bundle run through it and are compared with the reference."""

from __future__ import annotations

import dataclasses
import time

import numpy as np

from ..backends.artifacts import artifacts_of, pick_artifact
from ..backends.base import Backend
from ..backends.registry import facts_of, open_backend, refuse_artifact
from ..errors import BackendError, BackendUnavailableError
from ..model.bundle import Bundle
from .error import FLOAT16, Comparison, Tolerance, compare, float32_tolerance
from .golden import first, golden_features, run_sequences

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


def artifacts(bundle: Bundle, backend: str, wanted: str | None = None) -> list[str | None]:
    """The converted members that a backend can run, or the wanted one alone.

    [None] for a backend that runs none or finds none: opening it says why.
    """
    try:
        kind = facts_of(backend).artifact
    except BackendUnavailableError:
        kind = None
    if kind is None:
        return [None]
    return [wanted] if wanted else list(artifacts_of(bundle, kind)) or [None]


def own_artifact(bundle: Bundle, backend: str, artifact: str | None) -> str | None:
    """The converted member that a backend is to run, also if it is the only one and not named; None if it runs none.

    Raises ConfigError for an artifact that does not apply, BackendUnavailableError for one that is not there.
    """
    refuse_artifact(backend, artifact)
    kind = facts_of(backend).artifact
    return None if kind is None else pick_artifact(bundle, kind, artifact)[0]


def tolerance_of(bundle: Bundle, backend: str, artifact: str | None) -> Tolerance:
    """By the number format of a backend.

    The bundle states the tolerance of each converted model, that of int8, and that of float32. A
    bundle of an earlier version states none for float32, and `float32_tolerance` is taken then.
    float16 without an artifact has a fixed one. Raises BackendUnavailableError if none is stated.
    """
    facts = facts_of(backend)
    if facts.artifact is not None:
        return Tolerance(**pick_artifact(bundle, facts.artifact, artifact)[1]["tolerance"])
    if facts.number_format == "float16":
        return FLOAT16
    if facts.number_format != "int8":
        stated = bundle.manifest.get("float32")
        return Tolerance(**stated["tolerance"]) if stated else float32_tolerance(bundle.golden[1])
    if backend in bundle.left_out:
        raise BackendUnavailableError(bundle.absent(backend))
    try:
        return Tolerance(**bundle.manifest["native_int8"]["tolerance"])
    except KeyError as e:
        raise BackendUnavailableError(f"the bundle promises no accuracy for {backend}; export it again to have it measured") from e


def check_backend(bundle: Bundle, name: str, artifact: str | None = None, steps: int | None = None) -> Check:
    """Run `steps` golden samples (all when None) through a backend and compare. Raises BackendError as opening and running do."""
    artifact = own_artifact(bundle, name, artifact)
    tolerance_of(bundle, name, artifact)  # before anything is opened in vain
    backend = open_backend(name, bundle, artifact=artifact)
    try:
        return check_opened(bundle, backend, name, artifact, steps)
    finally:
        backend.close()


def check_opened(bundle: Bundle, backend: Backend, name: str, artifact: str | None, steps: int | None, streams: int | None = None) -> Check:
    """As `check_backend`, of a backend that is open; of one for N streams each gets the golden samples, and the worst one counts."""
    tolerance = tolerance_of(bundle, name, artifact)
    x, y, lengths = first(bundle, steps)
    rows = golden_features(bundle.spec, x, lengths).astype(backend.dtype)
    at_once, whole = backend.at_once, bundle.spec.bidirectional
    if (artifact is not None and at_once not in lengths) if whole else len(rows) < at_once:  # NumPy would answer all of it
        held = f"golden sequences of {lengths.min()} to {lengths.max()}" if whole else f"{len(rows)} golden samples"
        raise BackendError(f"{artifact} takes {at_once} steps at once, and the bundle has {held}: it can't be checked")
    if streams is not None:
        rows, y = (np.repeat(array[:, None], streams, axis=1) for array in (rows, y))
    backend.run(rows[: lengths[0] if whole else max(10, at_once)])  # what a library sets up at its first steps is not the speed of a step
    start = time.perf_counter()
    outputs = run_sequences(backend, rows, lengths)
    elapsed = time.perf_counter() - start
    if outputs.shape != y.shape:
        raise BackendError(f"backend {name!r} gave outputs {outputs.shape}, expected {y.shape}")
    each = [(outputs, y)] if streams is None else [(outputs[:, k], y[:, k]) for k in range(streams)]
    spread = float(bundle.golden[1].std())  # of all of them: the outputs of a few steps may hardly vary
    worst = max((compare(*pair, spread) for pair in each), key=lambda c: float(getattr(c, tolerance.metric)))
    return Check(name, artifact, worst, tolerance, 1e6 * elapsed / len(x))


def verify_backend(bundle: Bundle, backend: Backend, name: str, artifact: str | None, streams: int | None = None) -> None:
    """The self-check at load, for all but plain float32 code on the CPU, and for int8 if the bundle promises something.

    Resets the state. Raises BackendError, and closes the backend, when its golden samples come out wrong.
    """
    facts = facts_of(name)
    if facts.exact or (facts.number_format == "int8" and "native_int8" not in bundle.manifest):
        return
    artifact = own_artifact(bundle, name, artifact)
    try:
        # Of a chunk two, so that its own state comes back to it.
        result = check_opened(bundle, backend, name, artifact, max(AUTO_STEPS, 2 * backend.at_once), streams)
        if not result.passed:
            metric = result.tolerance.metric
            model = f" with {artifact}" if artifact else ""
            raise BackendError(
                f"backend {name!r} gives wrong answers{model} here: {metric} {getattr(result.comparison, metric):.1e} over the "
                f"first {result.comparison.steps} golden samples, at most {result.tolerance.limit:.1e} is right; "
                "use --backend auto, or see `edge-lstm check`"
            )
        backend.reset()
    except BaseException:
        backend.close()
        raise
