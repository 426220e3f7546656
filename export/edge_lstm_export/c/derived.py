"""The tables of transforms.c, for a model with transforms or dropped channels."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from edge_lstm_runtime.inputs import MAX_LOG, Inputs
from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.inputs.transforms import Calendar, Clip, Derived, Difference, Distance

PARTS = {name: f"EL_{name.upper()}" for name in ("hour", "weekday", "yearday", "holiday")}
SIZES = {"double": 8, "uint32_t": 4, "int32_t": 4, "uint8_t": 1}


@dataclasses.dataclass(frozen=True)
class Table:
    """A constant array of numbers or of names that C knows. In C it is `model_` and the name."""

    kind: str
    name: str
    values: Sequence[float | str]


@dataclasses.dataclass(frozen=True)
class Fields:
    """A constant struct: its fields' values, as C."""

    name: str
    fields: dict[str, str]


@dataclasses.dataclass(frozen=True)
class DerivedTables:
    """inputs, transforms, calendars: the structs of transforms.h. past: values of el_stream.past.

    most: of an answer on a logarithmic scale, as in `from_scale`.
    """

    tables: list[Table]
    inputs: Fields
    transforms: list[Fields]
    calendars: list[Fields]
    past: int
    most: float = MAX_LOG

    @property
    def bytes(self) -> int:
        """In flash, of the tables."""
        return sum(SIZES[table.kind] * len(table.values) for table in self.tables)


def derived_tables(inputs: Inputs) -> DerivedTables | None:
    """None if the features are the normalized channels and no more."""
    of = _deriving(inputs)
    if of is None:
        return None
    found = _Tables(of)
    transforms = [found.transform(k, t) for k, t in enumerate(of.derived)]
    fields = found.inputs(len(transforms))
    past = sum(map(past_values, of.derived))
    return DerivedTables(found.tables, fields, transforms, found.calendars, past)


def derived_ram(inputs: Inputs) -> int:
    """Bytes that model.c holds for a stream, beside each channel's last value."""
    of = _deriving(inputs)
    if of is None:
        return 0
    values = of.size + sum(map(past_values, of.derived))
    return 8 * values + 4 * len(of.derived) + 4 * of.feature_size


def _deriving(inputs: Inputs) -> Channels | None:
    derives = isinstance(inputs, Channels) and (inputs.transforms or inputs.drop)
    return inputs if isinstance(inputs, Channels) and derives else None


def past_values(transform: Derived) -> int:
    """How many values of el_stream.past it has."""
    return sum(math.prod(shape) for shape in transform.memory.values())


class _Tables:
    def __init__(self, inputs: Channels):
        self._of = inputs
        self.tables: list[Table] = []
        self.calendars: list[Fields] = []

    def _table(self, kind: str, name: str, values: Sequence[float | str]) -> str:
        """The array's name in C, NULL for an empty one."""
        if not values:
            return "NULL"
        if kind == "double":
            values = [float(value) for value in values]
        self.tables.append(Table(kind, name, values))
        return f"model_{name}"

    def inputs(self, transforms: int) -> Fields:
        of = self._of
        units = [of.log_units.get(name, 0.0) for name in of.channels] if of.log_units else []
        clips = [t for t in of.transforms if isinstance(t, Clip)]
        lows = {c: v for t in clips for c, v in zip(t.channels, t.low, strict=True)}
        highs = {c: v for t in clips for c, v in zip(t.channels, t.high, strict=True)}
        low = [lows.get(name, -math.inf) for name in of.channels] if clips else []
        high = [highs.get(name, math.inf) for name in of.channels] if clips else []
        clock = of.places((of.clock,))[0] if of.clock else of.size
        fields = {
            "unit": self._table("double", "log_unit", units),
            "low": self._table("double", "clip_low", low),
            "high": self._table("double", "clip_high", high),
            "clock": str(clock),
            "levels": str(len(of.kept)),
            "level": self._table("uint32_t", "level", of.kept),
            "transforms": str(transforms),
            "transform": "model_transforms" if transforms else "NULL",
        }
        return Fields("inputs", fields)

    def transform(self, k: int, transform: Derived) -> Fields:
        name = f"transform{k}"
        if isinstance(transform, Calendar):
            return Fields(name, self._calendar(k, transform))
        assert isinstance(transform, (Difference, Distance))
        fields = {
            "channels": str(len(transform.channels)),
            "channel": self._table("uint32_t", f"channel{k}", self._of.places(transform.channels)),
            "mean": self._table("double", f"mean{k}", transform.mean),
            "std": self._table("double", f"std{k}", transform.std),
        }
        if isinstance(transform, Difference):
            return Fields(name, {"type": "EL_DIFFERENCE", **fields, "steps": str(transform.lag)})
        if transform.steps is not None:
            return Fields(name, {"type": "EL_DISTANCE", **fields, "steps": str(transform.steps)})
        clock = str(self._of.places((transform.clock,))[0])
        own = {"steps": "1", "seconds": repr(float(transform.seconds or 0)), "clock": clock}
        return Fields(name, {"type": "EL_RUNNING", **fields, **own})

    def _calendar(self, k: int, transform: Calendar) -> dict[str, str]:
        parts = [PARTS[part] for part in transform.parts]
        changes = [float(second) for second, _ in transform.zone]
        offsets = [offset for _, offset in transform.zone]
        # Days beyond are in no calendar of a time that is accepted, and in no int32_t.
        days = [day for day in transform.holidays if abs(day) < 2**31]
        fields = {
            "parts": str(len(parts)),
            "moments": str(len(transform.ahead)),
            "changes": str(len(changes)),
            "holidays": str(len(days)),
            "part": self._table("uint8_t", f"part{k}", parts),
            "ahead": self._table("double", f"ahead{k}", transform.ahead),
            "change": self._table("double", f"change{k}", changes),
            "offset": self._table("int32_t", f"offset{k}", offsets),
            "holiday": self._table("int32_t", f"holiday{k}", days),
        }
        self.calendars.append(Fields(f"calendar{k}", fields))
        clock = str(self._of.places((transform.channel,))[0])
        return {"type": "EL_CALENDAR", "clock": clock, "calendar": f"&model_calendar{k}"}
