"""What a task makes of data: whether it is for it, and the keys of all sections.

The sizes are those at which the recipes of this package are about as good as larger ones.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from edge_lstm_runtime.model.spec import ModelSpec

from ..config.sections import TaskSection
from ..data.recordings import Splits
from ..tasks import TASKS
from .ask import Ask
from .draft import Draft, Key, Keys, Table
from .finding import Facts

FRACTIONS = ((0.15, 0.15), (0.2, 0.2), (0.3, 0.3), (0.1, 0.1), (0.34, 0.33))  # of val and test
MANY = 6  # groups, of which a part of them stands for all

Read = Callable[[Draft], tuple[ModelSpec, Splits]]


class Plan(ABC):
    """A file in `tasks` has one, PLAN.

    rank  of the tasks that fit, the one with the highest is guessed
    """

    rank: ClassVar[int] = 0

    @abstractmethod
    def reason(self, facts: Facts) -> str:
        """Why it may be the task, "" if the data is not for it."""

    def able(self, facts: Facts) -> str:
        """What is wrong if a user asks for the task, "" if nothing is."""
        return "" if self.reason(facts) else "the data is not for it"

    @abstractmethod
    def drafts(self, facts: Facts, ask: Ask, name: str) -> Iterator[Draft]:
        """The configurations, the best first. name: of the task."""

    def refined(self, draft: Draft, read: Read) -> Draft:  # noqa: ARG002
        """A better one, as far as the training and the validation split tell, or the same.

        draft: one that training takes. read: the data of a draft. It raises DataError.
        """
        return draft


def section_of(name: str) -> type[TaskSection]:
    found: type[TaskSection] = TASKS.load(name).Section
    return found


def draft(
    facts: Facts,
    split: Table,
    parts: Mapping[str, Keys],
    data: Keys,
    tables: tuple[Table, ...] = (),
    remarks: tuple[str, ...] = (),
) -> Draft:
    """parts: keys of [model], [train] and others. data: more keys of [data]. tables: more, after
    [data]. remarks: more lines at its top."""
    finding = facts.finding
    all_of_data = {"source": Key(finding.source), **finding.data, **data}
    return Draft(
        (
            Table("data", all_of_data, remarks=(*finding.remarks, *remarks)),
            *tables,
            split,
            *finding.tables,
            *(Table(name, keys) for name, keys in parts.items() if keys),
        )
    )


def splits(facts: Facts, *, whole: bool) -> Iterator[Table]:
    """The ways to divide, the best first. whole: by whole groups, if there are enough."""
    if facts.finding.given:
        for val, _ in FRACTIONS:
            keys = {"by": Key("given"), "val": Key(val, "of the training files")}
            yield Table("data.split", keys)
        return
    if whole and len(facts.groups) >= 3:
        classes = facts.labelled and bool(facts.groups_of_classes)
        for val, test in FRACTIONS:
            said = f"of {len(facts.groups)} groups: a group is in one part only"
            keys = {"by": Key("group", said), "val": Key(val), "test": Key(test)}
            if classes:
                keys["stratify"] = Key(True, "each part has about its share of every class")
            yield Table("data.split", keys)
    for val, test in FRACTIONS:
        said = "each recording is cut in three: the last rows are the test"
        keys = {"by": Key("time", said), "val": Key(val), "test": Key(test)}
        yield Table("data.split", keys)


def windows(facts: Facts, window: int, stride: int) -> int:
    """How many training windows there are, about."""
    train = 0.7
    return max(
        1, round(sum(max(1, (len(r.x) - window) // stride) for r in facts.recordings) * train)
    )


def epochs(count: int, batch: int, updates: int, most: int) -> Key:
    """So many that there are about as many updates, and at least 5. count: of windows."""
    each = max(1, -(-count // batch))
    found = max(5, min(most, round(updates / each)))
    return Key(found, f"of about {each:,} batches")


def batch(count: int) -> int:
    return 16 if count < 2000 else 32


def rounded(value: float) -> int:
    """A whole number that reads well: two digits."""
    whole = max(1, round(value))
    digits: int = 10 ** max(0, len(str(whole)) - 2)
    return int(whole // digits * digits)


def with_windows(window: int, stride: int, why: str, shortest: int) -> dict[str, Any]:
    keys: dict[str, Any] = {
        "window": Key(window, why),
        "stride": Key(stride),
    }
    if shortest < window:
        keys["short"] = Key("pad", f"the shortest sequence has {shortest:,} steps")
    return keys
