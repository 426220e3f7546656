"""Step 8: how far each converted model is from the reference on the simulator, and what a board is held to.

fp16 must be right, or the export ends; a chunk that is not is left out with a note. A quantised model's error is reported, and its
tolerance on a board is that error with a margin, so that `check` there finds a board that does not do what the simulator did. Above
USABLE it is packed all the same, but counts as wrong.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime import ConversionError, compare
from edge_lstm_runtime.verify.check import AUTO_STEPS
from edge_lstm_runtime.verify.error import FLOAT16, INT8, Tolerance

from ..measure import keys
from ..npu.targets import known
from ..words import beside
from ..work import Accuracy, Artifact, Work

USABLE = 0.1  # NRMSE: an error of a tenth of the outputs' own spread
MARGIN = 1.5  # simulator and board round in different places; a wrong layout or a lost state is off by far more


def call(work: Work) -> Work:
    accuracy, notes, kept = dict(work.accuracy), list(work.notes), {}
    for member, artifact in work.artifacts.items():
        comparison = compare(artifact.outputs, work.reference)
        tolerance = FLOAT16
        nrmse, allowed = beside(comparison.nrmse, FLOAT16.limit)
        if artifact.scheme != "fp16":
            tolerance = quantised_tolerance(artifact.outputs, work.reference, "on the converter's simulator")
            if not comparison.within(tolerance):
                ruined, _ = beside(comparison.nrmse, USABLE)
                notes.append(
                    f"{member} is not usable: quantisation ruins its state (NRMSE {ruined} on the "
                    f"simulator, at most {USABLE} counts as right). "
                    "It is in the bundle to be looked at; --backend auto will not take it. "
                    f"{_instead(artifact)}."
                )
                work.say(notes[-1])
        elif not comparison.within(tolerance) and artifact.form.steps > 1:
            error = f"NRMSE {nrmse} on the simulator, at most {allowed} counts as right"
            notes.append(f"{member} was not kept: {error}")
            work.say(f"  {notes[-1]}")
            artifact.converter.close()
            continue
        elif not comparison.within(tolerance):
            raise ConversionError(
                f"{member} is out of tolerance on the simulator: NRMSE {nrmse}, "
                f"at most {allowed} was expected; "
                "leave this scheme out, or train with inputs and a state of a smaller range"
            )
        kept[member] = artifact
        accuracy[keys.simulated(member)] = Accuracy(artifact.outputs, comparison, tolerance, "simulator of rknn-toolkit2, not a board")
    return dataclasses.replace(work, accuracy=accuracy, notes=tuple(notes), artifacts=kept)


def quantised_tolerance(outputs: NDArray[Any], reference: NDArray[np.float64], where: str) -> Tolerance:
    """What a board is held to where this was measured, with MARGIN for rounding in other places; also over the steps that a load checks."""
    first = compare(outputs[:AUTO_STEPS], reference[:AUTO_STEPS], float(reference.std()))
    return with_margin(max(compare(outputs, reference).nrmse, first.nrmse), where)


def with_margin(nrmse: float, where: str) -> Tolerance:
    """where: the figure was measured, in words."""
    return Tolerance("nrmse", min(float(f"{MARGIN * nrmse:.2g}"), USABLE), f"{MARGIN} x the NRMSE {where}, at most {USABLE}")


def _instead(artifact: Artifact) -> str:
    """What to do about a scheme that ruins the state; not every NPU has fp16."""
    others = [scheme for scheme in ("fp16", "w16a16i_dfp") if scheme in known(artifact.target).schemes]
    return f"Use {others[0]}" if others else "Use the numpy backend, or train with inputs and a state of a smaller range"


def good_enough(scheme: str) -> float:
    """The NRMSE within which a form of this scheme is good, and the cheapest of several is taken."""
    return (FLOAT16 if scheme == "fp16" else INT8).limit
