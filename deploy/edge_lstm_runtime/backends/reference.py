"""The float64 reference as a backend, to compare with by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..bundle import Bundle
    from . import Backend


def open_backend(bundle: Bundle, *, artifact: str | None = None) -> Backend:
    from ..reference import reference

    return reference(bundle.spec, bundle.weights)
