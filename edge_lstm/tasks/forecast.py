"""The next values of channels, at every step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from edge_lstm_runtime.errors import DataError

from ..config.base import Contradiction, Count, Names
from ..config.sections import Whole
from ..data.recordings import Splits
from .numbers import NumberSection

Horizon = Annotated[Count, Field(description="the number of steps to forecast")]


class Section(NumberSection):
    """[model] of task "forecast".

    targets   the channels to forecast; all if left out
    horizon   steps ahead
    residual  forecast the change from the value now, not the value
    """

    NOT_HERE: ClassVar[Mapping[str, str]] = {
        "bidirectional": "is for task 'classify': a forecast would read the future that it is to tell; remove it",
    }
    USES = frozenset({"season"})
    splits_within_recordings = True

    horizon: Horizon
    targets: Names | None = None
    residual: bool = False

    def answer(self, splits: Splits, dt_name: str) -> dict[str, Any]:
        targets = self.targets or tuple(c for c in splits.channels if c != dt_name)
        if absent := [t for t in targets if t not in splits.channels]:
            among = f"is not among the channels {list(splits.channels)}"
            raise DataError(f"[model] targets: {absent[0]!r} {among}")
        told = {"targets": targets, "horizon": self.horizon, "residual": self.residual}
        return {"task": "forecast", **told}

    def rules(self, config: Whole) -> Iterator[Contradiction]:
        season, channels = config.data.season, config.data.named_channels
        if season is not None and season < self.horizon:
            known = "the seasonal forecast must be known by then"
            yield ("data", "season"), f"expected at least the horizon ({self.horizon}): {known}"
        for target in self.targets or ():
            if channels is not None and target not in channels:
                among = f"expected names among the channels {list(channels)}"
                yield ("model", "targets"), f"{among}, and {target!r} is not"
        for key in ("offset", "level"):
            if config.augment is not None and getattr(config.augment, key):
                other = "what it should answer would be another value too"
                yield ("augment", key), f"expected 0 for task {self.task!r}: {other}"
        yield from super().rules(config)
