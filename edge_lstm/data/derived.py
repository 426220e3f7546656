"""The keys of [data] for what becomes of the channels, and for inputs that are derived of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from ..config.base import Contradiction, Names, repeated
from ..config.sections import SampleSection, Whole
from ..config.transforms import Derivation, TransformConfig


class DerivedSection(SampleSection):
    """[data] of the sources whose channels have names.

    transforms  [[data.transforms]]: what becomes of the channels, and further inputs
    drop        channels that are no inputs themselves, because their transforms are
    """

    transforms: Annotated[tuple[TransformConfig, ...], Field(min_length=1)] | None = None
    drop: Names | None = None

    @property
    def derivation(self) -> Derivation:
        return Derivation(self.transforms or (), self.drop or ())

    def rules(self, config: Whole) -> Iterator[Contradiction]:
        yield from super().rules(config)
        channels = self.named_channels or ()
        known = [*channels, *filter(None, [self.dt_name])]
        for number, table in enumerate(self.transforms or (), 1):
            for problem in table.problems(known, self.dt_name):
                yield ("data", "transforms"), f"table {number}: {problem}"
        for kind in ("log", "clip"):
            of = [
                n for t in self.transforms or () if t.type == kind for n in t.channels or channels
            ]
            if repeated(of):
                yield ("data", "transforms"), f"expected one {kind!r} at most for each channel"
        for name in self.drop or ():
            if name not in known:
                among = f"expected names among the channels {known}, and {name!r} is not"
                yield ("data", "drop"), among
        if repeated(self.drop):
            yield ("data", "drop"), "expected each name once"
        if set(known) == set(self.drop or ()) and not self.derivation.appends:
            yield ("data", "drop"), "expected a channel or a transform that is left as an input"
