"""What a node of the graph is to us: rows of layers, a state, or a constant."""

from __future__ import annotations

import dataclasses
from typing import Any

# Of arguments that are not what torch.export writes. The file is from anywhere.
ODD = (TypeError, ValueError, LookupError, AttributeError, RuntimeError, AssertionError)
Axes = tuple[str, ...]  # "T" steps, "F" features, "1" neither, of size 1


@dataclasses.dataclass(frozen=True)
class Rows:
    """parts: layers, or FEATURES, side by side. at: a step, None for all.

    before, after: steps of zeros in front of the first step, and steps behind the last one.
    """

    parts: tuple[str, ...]
    axes: Axes
    at: int | None = None
    before: int = 0
    after: int = 0


@dataclasses.dataclass(frozen=True)
class State:
    """items: (layer or placeholder, "h", "c" or its row). at: after this step, -1 if given."""

    items: tuple[tuple[str, str], ...]
    at: int


@dataclasses.dataclass(frozen=True)
class Const:
    tensor: Any


Value = Rows | State | Const | tuple[Any, ...] | None


class FaultError(Exception):
    """Why a node can't be taken."""


def shape_of(node: Any) -> tuple[int, ...]:
    """A size that may vary is the batch, and counts as 1."""
    return tuple(n if type(n) is int else 1 for n in node.meta["val"].shape)


def base_of(node: Any) -> str:
    """The name of its operator: "lstm" of aten.lstm.input."""
    return str(node.target).removeprefix("aten.").split(".")[0]


def kind_of(node: Any) -> str:
    """The type of the module that a node is from, "" if it is unknown."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][1]) if stack else ""


def module_of(node: Any) -> str:
    """The path of the module that a node is from, "" if it is the whole net or unknown."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][0]) if stack else ""
