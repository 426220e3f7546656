"""Step 6: the samples for the quantizer: features of real training streams, with the states that
really occur before them.

The samples are drawn evenly from strata: the class, the time since the reset (in powers of two),
and the kind of stream. A stream starts anew at each recording, or is carried through all of them,
because a board does either. For w8a8 the int8 cells are made as well. Several rules for their
ranges are streamed over validation and training data, emulated, and the best one is taken.

A bidirectional model has no states to draw. Its samples are sequences of the length that the
converted model takes, the classes in turn.
"""

from __future__ import annotations

import dataclasses

from edge_lstm.emulate.npu_networks import refused

from ..exported import Exported
from ..quantize import npu_int8
from ..quantize.calibration import calibrate, sequences
from ..quantize.choose_ranges import choose
from ..quantize.worst_stage import worst_stage
from ..work import Work


def learned(run: Exported) -> bool:
    """Whether the run was fine-tuned for this int8 cell, and not for an earlier one, whose product
    had the features in it."""
    return bool(run.w8a8) and "x_range" not in run.w8a8


def call(work: Work) -> Work:
    splits = work.run.splits
    recordings = [work.spec.inputs.features(s.x)[0] for s in splits.train]
    if work.step is not None:  # float16 alone, which needs none
        return work
    if work.spec.whole:
        calibration = (
            sequences(recordings, [s.label for s in splits.train], work.chunk)
            if work.chunk and work.schemes
            else {}
        )
        return dataclasses.replace(work, calibration=calibration)
    calibration = calibrate(work.spec, work.weights, recordings, [s.label for s in splits.train])
    work = dataclasses.replace(work, calibration=calibration)
    wanted = any("w8a8" in schemes for schemes in work.schemes.values())
    if not wanted or refused(work.spec.network):
        return work
    if learned(work.run):
        products = npu_int8.learned_layers(work.spec, work.weights, work.run.w8a8)
        return dataclasses.replace(work, products=products)
    validation = [work.spec.inputs.features(s.x)[0] for s in splits.val]
    chosen = choose(work.spec, work.weights, calibration, [*validation, *recordings])
    errors = ", ".join(f"{rule} {error:.1e}" for rule, error in chosen.errors.items())
    work.say(f"  ranges of the int8 cell: {chosen.rule} (emulated NRMSE: {errors})")
    said = worst_stage(work.spec, chosen)
    work.say(f"  {said}")
    notes = (*work.notes, f"w8a8: {said}") if work.run.imported else work.notes
    return dataclasses.replace(work, products=chosen.products, ranges=chosen, notes=notes)
