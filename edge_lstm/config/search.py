"""[search]: the ranges in which `edge-lstm search` looks. A training does without."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from edge_lstm_runtime.layers import MAX_UNITS, recurrent_types

from .base import Contradiction, Count, Names, NotNegative, Positive, Section, repeated

Derived = Literal["configured", "difference", "distance"]
Format = Literal["float32", "int8"]


class SearchConfig(Section):
    """[search]: what is left out is derived from the other sections, see docs/search.md.

    hidden_size    the least and the most units of a layer
    num_layers     the least and the most layers
    types          of the recurrent layers
    learning_rate  the lowest and the highest
    weight_decay   the lowest and the highest
    window         the steps to choose from
    transforms     "configured": as [data] has them. "difference": with the change of each channel
                   since the step before. "distance": with the distance of each from a running mean
    formats        the number formats in which each net is measured and may be chosen
    draws          trainings of each net, each with another seed, and, if the split is drawn, with
                   other validation recordings
    """

    hidden_size: tuple[Count, Count] | None = None
    num_layers: tuple[Count, Count] | None = None
    types: Names | None = None
    learning_rate: tuple[Positive, Positive] | None = None
    weight_decay: tuple[NotNegative, NotNegative] | None = None
    window: Annotated[tuple[Count, ...], Field(min_length=1)] | None = None
    transforms: Annotated[tuple[Derived, ...], Field(min_length=1)] | None = None
    formats: Annotated[tuple[Format, ...], Field(min_length=1)] = ("float32", "int8")
    draws: Count = 3

    def rules(self, *, most_layers: int, windows: bool) -> Iterator[Contradiction]:
        """most_layers: that [model] takes. windows: whether [data] has a `window`."""
        for key in ("hidden_size", "num_layers", "learning_rate", "weight_decay"):
            ends = getattr(self, key)
            if ends is not None and ends[0] > ends[1]:
                yield ("search", key), "expected the lower end first"
        if self.hidden_size is not None and self.hidden_size[1] > MAX_UNITS:
            yield ("search", "hidden_size"), f"expected at most {MAX_UNITS} units"
        if self.num_layers is not None and self.num_layers[1] > most_layers:
            yield ("search", "num_layers"), f"expected at most {most_layers} layers"
        if self.weight_decay is not None and 0 == self.weight_decay[0] < self.weight_decay[1]:
            above = "it is searched on a logarithmic scale: expected both ends above 0"
            yield ("search", "weight_decay"), f"{above}, or [0, 0]"
        known = recurrent_types()
        for name in self.types or ():
            if name not in known:
                among = f"expected names among {', '.join(known)}"
                yield ("search", "types"), f"{among}, and {name!r} is not"
        for key in ("types", "window", "transforms", "formats"):
            if repeated(map(str, getattr(self, key) or ())):
                yield ("search", key), "expected each one once"
        if self.window is not None and not windows:
            none = "training takes whole sequences; add a `window` to [data], or remove it"
            yield ("search", "window"), none
