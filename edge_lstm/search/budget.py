"""What a board has room and time for: "bytes<=40k, us<=3"."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from decimal import Decimal

from edge_lstm_runtime.errors import ConfigError
from edge_lstm_runtime.near import did_you_mean

Costs = Mapping[str, float]  # by the names of QUANTITIES

QUANTITIES = {
    "bytes": "bytes of the model's constants in C",
    "macs": "multiply-accumulates of a step",
    "us": "microseconds of a step",
}
UNITS = {"": 1, "k": 1000, "M": 1_000_000, "Ki": 1024, "Mi": 1024 * 1024}
EXAMPLE = '"bytes<=40k, us<=3"'
_ENTRY = re.compile(r"(?P<name>[^\s<>=≤]+)\s*(?P<sign>[<>=≤]+)\s*(?P<number>[^\s<>=≤]*)")
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)(Ki|Mi|k|M)?B?")


@dataclasses.dataclass(frozen=True)
class Budget:
    """limits: the most that a net may cost, by quantity, in the order in which they were given."""

    limits: Costs

    def over(self, costs: Costs) -> float:
        """By how much the worst quantity is over its limit, as a share of the limit.

        At most 0 if the net fits. -1 without limits.
        """
        return max((costs[name] / limit - 1 for name, limit in self.limits.items()), default=-1)

    def fits(self, costs: Costs) -> bool:
        return self.over(costs) <= 0

    @property
    def chief(self) -> str:
        """The quantity that is to be low: the first one."""
        return next(iter(self.limits), "bytes")

    def __str__(self) -> str:
        return ", ".join(f"{name}<={limit:,.10g}" for name, limit in self.limits.items())


def parse_budget(text: str) -> Budget:
    """Raises ConfigError."""
    limits: dict[str, float] = {}
    for entry in filter(None, map(str.strip, text.split(","))):
        found = _ENTRY.fullmatch(entry)
        if found is None:
            raise ConfigError(f"--budget: {entry!r}: expected QUANTITY<=NUMBER, such as {EXAMPLE}")
        name = found["name"].replace("µs", "us").replace("μs", "us")
        if name not in QUANTITIES:
            hint = did_you_mean(name, QUANTITIES)
            known = ", ".join(QUANTITIES)
            raise ConfigError(f"--budget: there is no quantity {name!r}; {hint}expected {known}")
        if found["sign"] not in ("<=", "≤"):
            limit = f"{name}<={found['number']}"
            raise ConfigError(f"--budget: {entry!r}: a limit is written with <=, as in {limit!r}")
        number = _NUMBER.fullmatch(found["number"])
        if number is None or not float(number[1]):
            known = ", ".join(filter(None, UNITS))
            above = f"expected a number above 0, with one of {known} if you like"
            raise ConfigError(f"--budget: {entry!r}: {above}, such as {EXAMPLE}")
        if name in limits:
            raise ConfigError(f"--budget: {name} is limited twice; expected it once")
        # In decimals: as floats, 32.3 * 1000 is less than 32300.
        limits[name] = float(Decimal(number[1]) * UNITS[number[2] or ""])
    return Budget(limits)
