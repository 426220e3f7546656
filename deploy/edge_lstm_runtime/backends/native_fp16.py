"""The C kernel with weights in float16.

They are rounded here from the bundle's float32 weights: 11 significant bits, and a power of two for
each sum, so none is too large or too small. The state and all arithmetic are float32.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from .native import FACTS as FLOAT32_FACTS
from .native import NativeBackend

if TYPE_CHECKING:
    from ..model.bundle import Bundle

FACTS = dataclasses.replace(FLOAT32_FACTS, number_format="float16", promise="native_fp16")
PRECISION = "float16"


class NativeFloat16Backend(NativeBackend):
    """See `NativeBackend`, whose `precision` is then "float16"."""

    name = "native-fp16"


def open_backend(bundle: Bundle, *, artifact: str | None = None) -> NativeFloat16Backend:
    return NativeFloat16Backend(bundle.spec, bundle.weights, PRECISION)


def open_streams(
    bundle: Bundle, streams: int, *, artifact: str | None = None
) -> NativeFloat16Backend:
    return NativeFloat16Backend(bundle.spec, bundle.weights, PRECISION, streams=streams)
