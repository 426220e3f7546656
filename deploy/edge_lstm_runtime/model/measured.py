"""The figures of an export, and their form in the manifest's `accuracy` and `metrics`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

_CARRIED = ", state never reset"  # ends the label


@dataclasses.dataclass(frozen=True)
class Measured:
    """A backend, and how it was streamed.

    member: the member of the bundle that it ran, a graph or a converted model. None if it runs no
    member, or if there is only one that it can run.
    carried: the state was never reset. Otherwise it was reset at the start of each recording.
    """

    backend: str
    member: str | None = None
    carried: bool = False

    def __str__(self) -> str:
        name = self.backend if self.member is None else f"{self.backend} {self.member}"
        return name + _CARRIED if self.carried else name

    def never_reset(self) -> Measured:
        return dataclasses.replace(self, carried=True)

    def reset(self) -> Measured:
        return dataclasses.replace(self, carried=False)


def write_measured(figures: Mapping[Measured, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A JSON row for each: `backend`, `member`, `carried`, and its figures."""
    return [{**dataclasses.asdict(measured), **row} for measured, row in figures.items()]


def read_measured(rows: Any) -> dict[Measured, dict[str, Any]]:
    """The figures that `write_measured` wrote, or those of earlier bundles, keyed by label.

    Raises KeyError, TypeError or AttributeError for anything else.
    """
    if isinstance(rows, Mapping):
        return {_of_label(label): {**row} for label, row in rows.items()}
    found = {}
    for row in rows:
        figures = {**row}
        measured = Measured(figures.pop("backend"), figures.pop("member"), figures.pop("carried"))
        if (
            not isinstance(measured.backend, str)
            or not isinstance(measured.member, str | None)
            or type(measured.carried) is not bool
        ):
            raise TypeError(f"{measured} is no backend")
        found[measured] = figures
    return found


def _of_label(label: str) -> Measured:
    backend, _, member = label.removesuffix(_CARRIED).partition(" ")
    return Measured(backend, member or None, label.endswith(_CARRIED))
