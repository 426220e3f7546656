"""The native kernel with int8 weights, under a name of its own: it has a tolerance of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import Backend, native

if TYPE_CHECKING:
    from ..bundle import Bundle


def open_backend(bundle: Bundle, *, artifact: str | None = None) -> Backend:
    return native.open_backend(bundle, artifact=artifact, precision="int8")


def open_streams(bundle: Bundle, streams: int, *, artifact: str | None = None) -> Backend:
    return native.open_streams(bundle, streams, artifact=artifact, precision="int8")
