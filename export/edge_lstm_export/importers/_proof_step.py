"""Whether the graph of an opaque step is the original: both run over the same samples."""

from __future__ import annotations

import numpy as np

from edge_lstm_runtime.errors import ConversionError

from . import Float32, Floats, Foreign
from ._proof import SINGLE, STEPS


def check_finite(outputs: Floats, tool: str) -> None:
    """outputs: (T, O). Raises ConversionError."""
    if not (finite := np.isfinite(outputs).all(axis=1)).all():
        at = int(np.argmin(finite))
        raise ConversionError(f"{tool} answers with NaN or infinity at step {at} of the samples")


def prove_step(foreign: Foreign, xs: Float32) -> Floats:
    """(T, O) the outputs of the original.

    The graph as it will be run, in float32, answers all samples beside it, and the reference the
    first STEPS. xs: (T, F), which are repeated if they are less than STEPS. Raises ConversionError.
    """
    step = foreign.step
    assert step is not None
    stream = np.tile(xs, (-(-STEPS // len(xs)), 1)) if len(xs) < STEPS else xs
    right = foreign.original.run(stream)["y"]
    check_finite(right, foreign.original.tool)
    for found, what in (
        (step.backend().run(stream), "the folded graph"),
        (step.reference().run(stream[:STEPS]), f"the reference ({step.words})"),
    ):
        expected = right[: len(found)]
        error = np.abs(found - expected).max(axis=1)
        limit = SINGLE * max(1.0, float(np.abs(expected).max()))
        if not (error <= limit).all():  # or one of them is NaN
            at = int(np.argmax(~(error <= limit)))
            raise ConversionError(
                f"{what} differs from {foreign.original.tool} on the file: by {error[at]:.2g} at "
                f"step {at} of {len(found)}, and at most {limit:.2g} is rounding; nothing was "
                "written. Please report this net"
            )
    return right[: len(xs)]
