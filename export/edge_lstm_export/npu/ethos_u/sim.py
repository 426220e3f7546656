"""The backend "tosa-sim": TOSA's reference model on the desktop.

It reads TOSA's file, which the bundle has beside the program. `tosa` answers the same without an
environment of its own, to the bit, and faster.
"""

from __future__ import annotations

from edge_lstm_runtime import (
    Backend,
    BackendUnavailableError,
    Bundle,
    Facts,
    MissingDependencyError,
)
from edge_lstm_runtime.backends.artifacts import pick_artifact
from edge_lstm_runtime.backends.tosa.backend import KIND

from .environment import ENVIRONMENT

FACTS = Facts(
    "the artifact's",
    runs_on="simulator",
    needs='Linux x86-64, and edge-lstm with its extra "export"',
    artifact=KIND,
    desktop="TOSA's own file",
)


def open_backend(bundle: Bundle, *, artifact: str | None = None) -> Backend:
    member, _ = pick_artifact(bundle, KIND, artifact)
    if reason := ENVIRONMENT.unsupported_reason():
        raise BackendUnavailableError(f"backend 'tosa-sim' can't run here: {reason}")
    from .compiled import Opened, ReferenceModel  # "auto" loads this file for its facts

    # The member's own file of TOSA, which the program was read from.
    flatbuffer = bundle.member(f"{member.removesuffix(KIND)}flatbuffer")
    try:
        return ReferenceModel(Opened(bundle.spec, bundle.member(member), flatbuffer))
    except MissingDependencyError as e:
        raise BackendUnavailableError(str(e)) from e
