"""Modules and tensors by names that a user chose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn


class Named(nn.Module):
    """Things by any name. Modules and parameters are trained, other tensors are buffers.

    torch's own containers refuse the names of their attributes, such as "type" and "values". The
    names in a state dictionary are those that torch's containers give.
    """

    def __init__(self, things: Mapping[str, nn.Module | Tensor] | None = None) -> None:
        super().__init__()
        for name, thing in (things or {}).items():
            self[name] = thing

    def __setitem__(self, name: str, thing: nn.Module | Tensor) -> None:
        of_kind: dict[str, Any] = (
            self._modules
            if isinstance(thing, nn.Module)
            else self._parameters
            if isinstance(thing, nn.Parameter)
            else self._buffers
        )
        of_kind[name] = thing

    def __getitem__(self, name: str) -> Any:
        for of_kind in (self._modules, self._parameters, self._buffers):
            if name in of_kind:
                return of_kind[name]
        raise KeyError(name)

    def items(self) -> Iterator[tuple[str, Any]]:
        for of_kind in (self._modules, self._parameters, self._buffers):
            yield from of_kind.items()
