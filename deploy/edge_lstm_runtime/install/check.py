"""The check of a bundle on this machine, in a process of its own: a backend may hang or die.

The backend is the one that "auto" takes. All golden samples run through it, and some steps are
timed.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np

from ..errors import BackendError, EdgeLstmError
from ..model.bundle import Bundle, read_bundle
from ..verify.auto import choose_backend
from ..verify.bench import latencies
from ..verify.check import check_backend
from ..verify.limit import allowed
from .process import ended, run

STEPS = 1000  # that are timed
BACKENDS = 10  # that are tried, each within its time limit
_MARK = "edge-lstm checked: "


@dataclasses.dataclass(frozen=True)
class Figures:
    """p50_us, p99_us: microseconds of a step, raw sample to answer, called from Python. nrmse: over
    the golden samples."""

    backend: str
    p50_us: float
    p99_us: float
    nrmse: float

    def __str__(self) -> str:
        times = f"p50 {self.p50_us:.1f} us, p99 {self.p99_us:.1f} us a step"
        return f"{self.backend}, NRMSE {self.nrmse:.1e}, {times}"


def check_apart(file: Path, bundle: Bundle) -> Figures:
    """file: of the bundle. Raises BackendError if no backend is right here, or the process dies."""
    request = json.dumps([os.fspath(file), bundle.digest, os.getpid()])
    here = os.pathsep.join(
        [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    command = [sys.executable, "-m", "edge_lstm_runtime.install.check", request]
    seconds = BACKENDS * allowed(len(bundle.golden[0]), 1)
    try:
        code, said = run(command, seconds, {**os.environ, "PYTHONPATH": here})
    except TimeoutError as e:
        raise BackendError(f"the check on this machine hangs: {e}") from e
    # A vendor's library prints to the same descriptor.
    lines = [line for line in said.splitlines() if line.startswith(_MARK)]
    if not lines:
        raise BackendError(f"the check on this machine has no answer: {ended(code, said)}")
    answer = json.loads(lines[-1].removeprefix(_MARK))
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
    file, digest, parent = json.loads(sys.argv[1])
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    try:
        answer = dataclasses.asdict(_check(file, digest))
    except EdgeLstmError as e:
        answer = {"error": str(e)}
    sys.stdout.write(f"\n{_MARK}{json.dumps(answer)}\n")


if __name__ == "__main__":
    _child()
