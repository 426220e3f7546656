"""The native kernel, where the installation has its library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ..errors import BackendUnavailableError
from . import Backend

if TYPE_CHECKING:
    from ..bundle import Bundle

Precision = Literal["float32", "int8"]


def open_backend(bundle: Bundle, *, artifact: str | None = None, precision: Precision = "float32") -> Backend:
    raise BackendUnavailableError("the native library is not in this installation; the other backends work without it: --backend numpy")


def open_streams(bundle: Bundle, streams: int, *, artifact: str | None = None, precision: Precision = "float32") -> Backend:
    return open_backend(bundle, artifact=artifact, precision=precision)
