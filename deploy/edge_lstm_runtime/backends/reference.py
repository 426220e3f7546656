"""The float64 reference as a backend, to compare with by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..bundle import Bundle
    from ..reference import Reference


def open_backend(bundle: Bundle, *, artifact: str | None = None) -> Reference:
    from ..reference import Reference

    return Reference(bundle.spec, bundle.weights)
