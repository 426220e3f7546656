"""The int8 cells of a w8a8 model.

Several rules for their ranges are streamed over validation and training data, emulated, and the
best one is taken.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from edge_lstm.emulate.npu_networks import refused

from ...exported import Exported
from ...quantize import npu_int8
from ...quantize.choose_ranges import Chosen, choose
from ...quantize.npu_int8 import Product
from ...quantize.worst_stage import worst_stage
from ...work import Work
from ..vendor import Schemes
from .targets import NAME


@dataclasses.dataclass(frozen=True)
class Prepared:
    """products: by layer. ranges: how their ranges were chosen, None if the run learned them."""

    products: Mapping[str, Product]
    ranges: Chosen | None = None


def products(work: Work) -> Mapping[str, Product]:
    """{} if no model is w8a8."""
    prepared = work.prepared.get(NAME)
    return prepared.products if prepared else {}


def ranges(work: Work) -> Chosen | None:
    prepared = work.prepared.get(NAME)
    return prepared.ranges if prepared else None


def learned(run: Exported) -> bool:
    """Whether the run was fine-tuned for this int8 cell, and not for an earlier one, whose product
    had the features in it."""
    return bool(run.w8a8) and "x_range" not in run.w8a8


def prepare(work: Work, schemes: Schemes) -> Work:
    wanted = any("w8a8" in formats for formats in schemes.values())
    if not wanted or refused(work.spec.network):
        return work
    if learned(work.run):
        made = Prepared(npu_int8.learned_layers(work.spec, work.weights, work.run.w8a8))
        return _with(work, made)
    splits = work.run.splits
    validation, training = (
        [work.spec.inputs.features(s.x)[0] for s in split] for split in (splits.val, splits.train)
    )
    chosen = choose(work.spec, work.weights, work.calibration, [*validation, *training])
    errors = ", ".join(f"{rule} {error:.1e}" for rule, error in chosen.errors.items())
    work.say(f"  ranges of the int8 cell: {chosen.rule} (emulated NRMSE: {errors})")
    said = worst_stage(work.spec, chosen)
    work.say(f"  {said}")
    if work.run.imported:
        work = dataclasses.replace(work, notes=(*work.notes, f"w8a8: {said}"))
    return _with(work, Prepared(chosen.products, chosen))


def _with(work: Work, made: Prepared) -> Work:
    return dataclasses.replace(work, prepared={**work.prepared, NAME: made})
