"""Step 5: the sizes of what a net that another tool trained keeps, and whether float16 holds them.

A run of our own trainer is taken as it is: its inputs are scaled, and its w8a8 and fp16 models are
measured.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from edge_lstm_runtime import ConversionError

from ..measure import tolerances
from ..measure.sizes import LARGEST, STREAMED, Size, sizes
from ..work import Work

NEAR = 0.8  # of the largest float16: other inputs may be that much larger
INTEGERS = "w16a16i_dfp"  # the one scheme that keeps nothing in float16
GOOD = tolerances.good("fp16")


def call(work: Work) -> Work:
    if not work.run.imported or work.spec.whole or work.spec.network.opaque:
        return work
    splits = work.run.splits
    parts = [work.spec.inputs.features(s.x)[0] for s in (*splits.train, *splits.val, *splits.test)]
    xs = np.concatenate(parts)
    found = sizes(work.spec, work.weights, xs)
    made = "synthetic samples" if work.run.synthetic else "samples"
    for target, schemes in work.schemes.items():
        for scheme in schemes:
            for one in found:
                if scheme != INTEGERS and not one.largest <= NEAR * LARGEST:
                    raise ConversionError(f"{target} {scheme}: {_too_large(one, made)}")
    over = f"the last {min(STREAMED, len(xs)):,} of the {made}"
    notes = [_coarse(one, made, over) for one in found if not one.error <= GOOD]
    notes += [_growing(one, made) for one in found if one.grows]
    for note in notes:
        work.say(f"  {note}")
    return dataclasses.replace(work, notes=(*work.notes, *notes))


def _named(one: Size) -> str:
    return f"state {one.name}" if one.is_state else f"{one.name}"


def _too_large(one: Size, made: str) -> str:
    return (
        f"{_named(one)} reaches {one.largest:,.0f} at step {one.step:,} of the {made} (unit "
        f"{one.unit}), and float16 ends at {LARGEST:,.0f}; leave --target out for a bundle that "
        "runs in float32, or scale the inputs down"
    )


def _coarse(one: Size, made: str, over: str) -> str:
    return (
        f"float16 is coarse for {_named(one)}: it reaches {one.largest:.4g} at step {one.step:,} "
        f"of the {made} (unit {one.unit}), where float16 has steps of {one.spacing:g}. That alone "
        f"moves the answers by an NRMSE of {one.error:.1e} over {over}, and {GOOD:g} is good"
    )


def _growing(one: Size, made: str) -> str:
    means = [f"{part:.3g}" for part in one.parts]
    return (
        f"{_named(one)} still grows at the end of the {made}: in their quarters it has a mean size "
        f"of {', '.join(means[:-1])} and {means[-1]}. Reset it now and then (`--reset-every`, "
        "`Session.reset`), or measure with more samples"
    )
