"""Is a backend right, on this machine, now? The golden samples of the bundle run through it and are compared with the reference."""

from __future__ import annotations

import dataclasses
import time

import numpy as np

from .backends import Backend, open_backend
from .backends.rknn import pick_artifact
from .bundle import Bundle
from .compare import Comparison, Tolerance, compare, float32_tolerance
from .errors import BackendError, BackendUnavailableError
from .golden import first, golden_features, run_sequences

NATIVE_INT8 = "native-int8"
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
    """The converted members that a backend can run, or the wanted one alone; [None] for backends that need none."""
    if not runs_artifacts(backend):
        return [None]
    return [wanted] if wanted else sorted(bundle.manifest.get("artifacts", {}))


def runs_artifacts(backend: str) -> bool:
    return backend.startswith("rknn")


def tolerance_of(bundle: Bundle, backend: str, artifact: str | None) -> Tolerance:
    """What the manifest states: for a converted artifact, for int8, and for all else for float32.

    A bundle of an earlier version states none for float32; `float32_tolerance` is taken then.
    Raises BackendUnavailableError for "native-int8" if the bundle states none.
    """
    if artifact is not None:
        return Tolerance(**bundle.manifest["artifacts"][artifact]["tolerance"])
    if backend != NATIVE_INT8:
        stated = bundle.manifest.get("float32")
        return Tolerance(**stated["tolerance"]) if stated else float32_tolerance(bundle.golden[1])
    if NATIVE_INT8 in bundle.left_out:
        raise BackendUnavailableError(bundle.absent(NATIVE_INT8))
    try:
        return Tolerance(**bundle.manifest["native_int8"]["tolerance"])
    except KeyError as e:
        raise BackendUnavailableError("the bundle promises no accuracy for native-int8; export it again to have it measured") from e


def check_backend(bundle: Bundle, name: str, artifact: str | None = None, steps: int | None = None) -> Check:
    """Run `steps` golden samples (all when None) through a backend and compare. Raises BackendError as opening and running do."""
    # The tolerance is the artifact's own, also where the only one is meant and not named.
    artifact = pick_artifact(bundle, artifact)[0] if runs_artifacts(name) else None
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
    """The self-check at load, for what runs in a number format that the bundle promises something for; the rest is float32 code of ours.

    Resets the state. Raises BackendError, and closes the backend, when its golden samples come out wrong.
    """
    if not runs_artifacts(name) and not (name == NATIVE_INT8 and "native_int8" in bundle.manifest):
        return
    artifact = pick_artifact(bundle, artifact)[0] if runs_artifacts(name) else None
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
