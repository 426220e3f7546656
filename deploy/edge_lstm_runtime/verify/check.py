"""Whether a backend is right on this machine now.

The bundle's golden samples run through it, and its outputs are compared with the reference's.
"""

from __future__ import annotations

import dataclasses
import time

import numpy as np

from ..backends.artifacts import artifacts_of, pick_artifact
from ..backends.base import Backend, refuse_opaque
from ..backends.registry import facts_of, open_backend, refuse_artifact
from ..errors import BackendError, BackendUnavailableError
from ..model.bundle import Bundle
from .error import FLOAT16, Comparison, Tolerance, compare, float32_tolerance
from .golden import Samples, first, golden_features, run_sequences
from .limit import Opened, within

NOT_USABLE = "not usable"  # the export's verdict on a model that "auto" does not take
AUTO_STEPS = 200  # enough to find a wrong state and to compare speeds, in a few milliseconds


@dataclasses.dataclass(frozen=True)
class Check:
    """How a backend did on golden samples: `comparison` within `tolerance`, or not.

    >>> import edge_lstm_runtime as rt
    >>> check = rt.check_backend(rt.read_bundle("mine.edge"), "numpy")
    >>> check.backend, check.artifact, check.passed
    ('numpy', None, True)
    >>> check.comparison.max_abs <= check.tolerance.limit
    True
    """

    backend: str
    artifact: str | None
    comparison: Comparison
    tolerance: Tolerance
    microseconds_per_step: float

    @property
    def passed(self) -> bool:
        """Whether the answers are right."""
        return self.comparison.within(self.tolerance)


def artifacts(bundle: Bundle, backend: str, wanted: str | None = None) -> list[str | None]:
    """The converted members that a backend can run, or the wanted one alone.

    [None] if it runs none or there is none for it. Opening it then says why.
    """
    try:
        kind = facts_of(backend).artifact
    except BackendUnavailableError:
        kind = None
    if kind is None:
        return [None]
    return [wanted] if wanted else list(artifacts_of(bundle, kind)) or [None]


def own_artifact(bundle: Bundle, backend: str, artifact: str | None) -> str | None:
    """The converted member that a backend will run. None if it runs none.

    artifact: its name, or None for the only one. Raises ConfigError for an artifact that does not
    apply, and BackendUnavailableError for one that is not there.
    """
    refuse_artifact(backend, artifact)
    kind = facts_of(backend).artifact
    return None if kind is None else pick_artifact(bundle, kind, artifact)[0]


def tolerance_of(bundle: Bundle, backend: str, artifact: str | None) -> Tolerance:
    """The tolerance for a backend, by its number format.

    The bundle states a tolerance for each converted model, for each backend with a promise and for
    float32. If an earlier version wrote the bundle, it states none for float32, and
    `float32_tolerance` applies. float16 without either has a fixed tolerance. Raises
    BackendUnavailableError if none is stated, or if the export left the backend out.
    """
    _refuse_left_out(bundle, backend)
    facts = facts_of(backend)
    if facts.artifact is not None:
        return Tolerance(**pick_artifact(bundle, facts.artifact, artifact)[1]["tolerance"])
    if not facts.promise and facts.number_format == "float16":
        return FLOAT16
    if not facts.promise and facts.number_format != "int8":
        stated = bundle.manifest.get("float32")
        return Tolerance(**stated["tolerance"]) if stated else float32_tolerance(bundle.golden[1])
    try:
        return Tolerance(**bundle.manifest[facts.promise]["tolerance"])
    except KeyError as e:
        raise BackendUnavailableError(
            f"the bundle promises no accuracy for {backend}; {bundle.spec.answer.make} again to "
            "have it measured"
        ) from e


def verdict_of(bundle: Bundle, backend: str, artifact: str | None) -> str:
    """The export's verdict on a model in fewer bits, "" if there is none."""
    manifest = bundle.manifest
    entry = manifest.get("artifacts", {}).get(artifact, {}) if artifact else {}
    if artifact is None:
        entry = manifest.get(facts_of(backend).promise, {})
    return str(entry.get("test_split", {}).get("verdict", ""))


def _refuse_left_out(bundle: Bundle, backend: str) -> None:
    refuse_opaque(facts_of(backend), bundle.spec.network)
    if backend in bundle.left_out:
        raise BackendUnavailableError(bundle.absent(backend))


def check_backend(
    bundle: Bundle,
    name: str,
    artifact: str | None = None,
    steps: int | None = None,
    *,
    samples: Samples | None = None,
) -> Check:
    """Open a backend, run golden samples through it and compare the outputs.

    steps: the number of samples, None for all. samples: others, in the place of the golden ones,
    see `golden.answered`. Raises BackendError if the backend can't be opened or fails.

    >>> import edge_lstm_runtime as rt
    >>> bundle = rt.read_bundle("mine.edge")
    >>> rt.check_backend(bundle, "numpy", steps=10).passed
    True
    """
    member = own_artifact(bundle, name, artifact)
    tolerance_of(bundle, name, member)  # raises before anything is opened in vain

    def work(opened: Opened) -> Check:
        backend = opened(open_backend(name, bundle, artifact=member))
        try:
            return check_opened(bundle, backend, name, member, samples or steps)
        finally:
            backend.close()

    count = len(samples.x) if samples else steps or len(bundle.golden[0])
    return within(name, count, None, work)


def check_opened(
    bundle: Bundle,
    backend: Backend,
    name: str,
    artifact: str | None,
    samples: Samples | int | None,
    streams: int | None = None,
) -> Check:
    """As `check_backend`, for an open backend.

    samples: the number of golden samples, None for all, or others. streams: N if it is one for N
    streams. Each stream then gets the samples, and the worst one counts. Raises BackendError too if
    the samples fill no chunk of the backend.
    """
    tolerance = tolerance_of(bundle, name, artifact)
    x, y, lengths = samples if isinstance(samples, Samples) else first(bundle, samples)
    rows = golden_features(bundle.spec, x, lengths).astype(backend.dtype)
    at_once = backend.at_once
    whole = bundle.spec.whole
    # NumPy would answer all of it if no chunk, or no sequence, has the converted model's length.
    if (artifact is not None and at_once not in lengths) if whole else len(rows) < at_once:
        held = (
            f"sequences of {lengths.min()} to {lengths.max()} steps"
            if whole
            else f"{len(rows)} samples"
        )
        raise BackendError(
            f"{artifact} takes {at_once} steps at once, and it can't be checked with {held}"
        )
    if streams is not None:
        rows, y = (np.repeat(array[:, None], streams, axis=1) for array in (rows, y))
    # First, because a library's set-up in its first steps is not part of the speed.
    backend.run(rows[: lengths[0] if whole else max(10, at_once)])
    start = time.perf_counter()
    outputs = run_sequences(backend, rows, lengths)
    elapsed = time.perf_counter() - start
    if outputs.shape != y.shape:
        raise BackendError(f"backend {name!r} gave outputs {outputs.shape}, expected {y.shape}")
    each = [(outputs, y)] if streams is None else [(outputs[:, k], y[:, k]) for k in range(streams)]
    spread = float(bundle.golden[1].std())  # of all, because the outputs of a few may hardly vary
    if isinstance(samples, Samples):
        spread = max(spread, float(y.std()))
    worst = max(
        (compare(*pair, spread) for pair in each), key=lambda c: float(getattr(c, tolerance.metric))
    )
    return Check(name, artifact, worst, tolerance, 1e6 * elapsed / len(x))


def open_verified(
    bundle: Bundle,
    name: str,
    artifact: str | None,
    streams: int | None,
    *,
    verify: bool = True,
    threads: int = 1,
) -> Backend:
    """Open a backend, and check it if `verify` is set, under a time limit.

    Raises as `open_backend` and `verify_backend` do, and BackendError if it takes too long.
    """

    def work(opened: Opened) -> Backend:
        backend = opened(
            open_backend(name, bundle, artifact=artifact, streams=streams, threads=threads)
        )
        if verify:
            verify_backend(bundle, backend, name, artifact, streams)
        return backend

    return within(name, AUTO_STEPS if verify else 0, streams, work)


def _steps_at_load(streams: int | None) -> int:
    """AUTO_STEPS, and fewer for many streams, which all get the same samples."""
    return max(AUTO_STEPS * 16 // max(streams or 1, 16), 10)


def verify_backend(
    bundle: Bundle, backend: Backend, name: str, artifact: str | None, streams: int | None = None
) -> None:
    """The check of an open backend before it is used. It resets the state.

    There is none if the bundle lacks the tolerance that the backend's facts name. Raises
    BackendError, and closes the backend, if the golden samples come out wrong, or if the export
    left the backend out.
    """
    promise = facts_of(name).promise
    unchecked = bool(promise) and promise not in bundle.manifest
    try:
        _refuse_left_out(bundle, name)
        if unchecked:
            return
        artifact = own_artifact(bundle, name, artifact)
        # At least two chunks, so that the second one starts from the state of the first.
        steps = max(_steps_at_load(streams), 2 * backend.at_once)
        result = check_opened(bundle, backend, name, artifact, steps, streams)
        if not result.passed:
            metric = result.tolerance.metric
            model = f" with {artifact}" if artifact else ""
            raise BackendError(
                f"backend {name!r} gives wrong answers{model} here: "
                f"{metric} {getattr(result.comparison, metric):.1e} over the "
                f"first {result.comparison.steps} golden samples, "
                f"at most {result.tolerance.limit:.1e} is right; "
                "use --backend auto, or see `edge-lstm check`"
            )
        backend.reset()
    except BaseException:
        backend.close()
        raise
