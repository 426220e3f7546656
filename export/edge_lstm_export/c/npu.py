"""A converted model of a bundle, as its vendor's C source beside the kernel's."""

from __future__ import annotations

import os

import numpy as np

from edge_lstm import Run
from edge_lstm_runtime import Bundle, ConversionError, read_bundle
from edge_lstm_runtime.backends.artifacts import artifacts_of, steps_at_once

from ..npu.in_c import InC
from ..npu.targets import known, vendor_of
from .source import Source
from .style import CStyle

STEPS = 50  # golden ones


def npu_source(
    source: Run | Bundle | str | os.PathLike[str], found: Source, style: CStyle
) -> InC | None:
    """What the vendor of `style.npu` gives, None without one. found: of `source`.

    Raises ConversionError if the bundle has no such model.
    """
    if not style.npu:
        return None
    assert not isinstance(source, Run), "check_c refuses a run"
    bundle = source if isinstance(source, Bundle) else read_bundle(source)
    member = _member(bundle, style)
    rows = found.rows[:STEPS].astype(np.float32)
    return vendor_of(style.npu).c_source(bundle, member, rows)


def _member(bundle: Bundle, style: CStyle) -> str:
    vendor = vendor_of(style.npu)
    of_target = {
        row["scheme"]: member
        for member, row in artifacts_of(bundle, vendor.kind).items()
        if row["target"] == style.npu and steps_at_once(bundle, member) == 1
    }
    asked = style.npu_scheme or known(style.npu).accurate or ""
    if not style.npu_scheme and asked not in of_target:
        asked = next(iter(of_target), "")
    if asked not in of_target:
        what = f"{style.npu} {style.npu_scheme}".strip()
        has = ", ".join(artifacts_of(bundle, None)) or "none"
        raise ConversionError(
            f"the bundle has no model for {what}, of its converted models ({has}); "
            f"{bundle.spec.answer.make} with --target {style.npu} first"
        )
    return of_target[asked]
