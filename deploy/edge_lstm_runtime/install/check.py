"""The check of a bundle on this machine, in a process of its own: a backend may hang or die.

The backend is the one that "auto" takes. All golden samples run through it, and some steps are
timed.
"""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from pathlib import Path

import numpy as np

from .. import apart
from ..errors import BackendError, EdgeLstmError
from ..model.bundle import Bundle, read_bundle
from ..verify.auto import choose_backend
from ..verify.bench import latencies
from ..verify.check import check_backend
from ..verify.limit import allowed
from ..verify.opening import TRIES
from .process import ended, run

STEPS = 1000  # that are timed
BACKENDS = 10  # that are tried, each within its time limit


@dataclasses.dataclass(frozen=True)
class Figures:
    """p50_us, p99_us: microseconds of a step, raw sample to answer, called from Python. nrmse: over
    the golden samples."""

    backend: str
    p50_us: float
    p99_us: float
    nrmse: float


def check_apart(file: Path, bundle: Bundle) -> Figures:
    """file: of the bundle. Raises BackendError if no backend is right here, or the process dies.

    It may die TRIES times: "auto" then goes without the backend that ended it.
    """
    request = [os.fspath(file), bundle.digest, os.getpid()]
    command = apart.command("install.check", request)
    seconds = BACKENDS * allowed(len(bundle.golden[0]), 1)
    for _ in range(TRIES + 1):
        try:
            code, said = run(command, seconds, apart.variables())
        except TimeoutError as e:
            raise BackendError(f"the check on this machine hangs: {e}") from e
        answer = apart.answered(said)
        if answer is not None:
            break
    else:
        raise BackendError(f"the check on this machine has no answer: {ended(code, said)}")
    if "error" in answer:
        raise BackendError(answer["error"])
    return Figures(**answer)


def _check(file: str, digest: str) -> Figures:
    bundle = read_bundle(file)
    if bundle.digest != digest:
        raise BackendError(f"{file} was replaced meanwhile")
    choice = choose_backend(bundle)
    choice.backend.close()
    check = check_backend(bundle, choice.name, choice.artifact)
    if not check.passed:
        metric = check.tolerance.metric
        raise BackendError(
            f"backend {choice.name!r} gives wrong answers here: {metric} "
            f"{getattr(check.comparison, metric):.1e}, at most {check.tolerance.limit:.1e} is right"
        )
    times = 1e6 * latencies(bundle, choice.name, choice.artifact, STEPS)
    p50, p99 = (round(float(p), 2) for p in np.percentile(times, (50, 99)))
    return Figures(choice.name, p50, p99, float(check.comparison.nrmse))


def _end_with(parent: int) -> None:
    """End as soon as the parent has ended, even if it was killed."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _child() -> None:
    file, digest, parent = apart.requested()
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    try:
        answer = dataclasses.asdict(_check(file, digest))
    except EdgeLstmError as e:
        answer = {"error": str(e)}
    apart.answer(answer)


if __name__ == "__main__":
    _child()
