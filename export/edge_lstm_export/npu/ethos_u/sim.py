"""The backend "tosa-sim": TOSA's reference model on the desktop.

The model is compiled again from the weights and the calibration set that the bundle carries.
`tosa` answers the same without it, to the bit, and faster.
"""

from __future__ import annotations

from edge_lstm_runtime import (
    Backend,
    BackendUnavailableError,
    Bundle,
    BundleError,
    Facts,
    MissingDependencyError,
)
from edge_lstm_runtime.backends.artifacts import pick_artifact
from edge_lstm_runtime.backends.tosa.backend import KIND

from .compiled import Compiled, ReferenceModel
from .conversion import Conversion
from .environment import ENVIRONMENT
from .targets import targets

FACTS = Facts(
    "the artifact's",
    runs_on="simulator",
    needs='Linux x86-64, and edge-lstm with its extra "export"',
    artifact=KIND,
)


def open_backend(bundle: Bundle, *, artifact: str | None = None) -> Backend:
    member, entry = pick_artifact(bundle, KIND, artifact)
    if reason := ENVIRONMENT.unsupported_reason():
        raise BackendUnavailableError(f"backend 'tosa-sim' can't run here: {reason}")
    chip = targets().get(str(entry.get("target")))
    form = entry.get("recipe", {}).get("io", {}).get("form")
    if chip is None or form is None:
        raise BundleError(f"{member} is not of this vendor: its row has no target and form of it")
    conversion = Conversion(
        bundle.spec,
        bundle.weights,
        bundle.arrays("calibration.npz"),
        chip,
        entry["scheme"],
        form,
    )
    try:
        compiled = Compiled(conversion)
    except MissingDependencyError as e:
        raise BackendUnavailableError(str(e)) from e
    if compiled.model != bundle.member(member):
        compiled.close()
        raise BundleError(f"{member} is another program than the one that is compiled here now")
    return ReferenceModel(compiled)
