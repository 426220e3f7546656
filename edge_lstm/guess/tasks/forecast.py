"""The next values of columns."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator
from collections.abc import Sequence as Many

import numpy as np

from ...data.recordings import Float64
from ...data.season import Repeats, period
from ..ask import Ask, columns, steps
from ..choose import linear_error
from ..draft import Draft, Key, Table
from ..finding import Facts
from ..plan import Plan, Read, batch, draft, epochs, rounded, splits, windows, with_windows
from ..roles import KNOWN

# Names of what people forecast, the likeliest first.
WANTED = (
    r"(target|y|users|count|cnt|demand|load|sales|rentals|consumption|usage|traffic|passengers|"
    r"visitors|quantity|energy|power|price|close|flow|value)",
    r"(.*[_ ])?(target|demand|load|sales|consumption|count|power|energy|price|value|output)",
    r"(.*[_ ])?(temp|temperature|level|flow|pressure|speed)",
)
MANY = 4  # targets, unless the user says more
AHEAD = 12  # steps
OTHERS = 12  # columns beside the targets, whose changes are inputs too
WINDOWS = 2000
WORTH = 0.02  # of a linear forecast's error, for which the other columns are inputs
quiet = np.errstate(over="ignore", invalid="ignore")  # too large values are told elsewhere
DAY = 86400.0
YEAR = 365.25 * DAY


class ForecastPlan(Plan):
    rank = 1
    cautious = False  # whether transforms are left out

    def reason(self, facts: Facts) -> str:
        if facts.section.characters or facts.finding.tables:
            return ""
        return "no class was found, and the rows follow one another"

    def able(self, facts: Facts) -> str:
        return "the samples are characters" if facts.section.characters else ""

    def drafts(self, facts: Facts, ask: Ask, name: str) -> Iterator[Draft]:
        for rich, split in itertools.product((True, False), [*splits(facts, whole=False)]):
            made = self._draft(facts, ask, name, split, rich=rich)
            yield made
            if not ask.yes:  # all was asked, once
                said = made.values()["model"]
                answers = {key: said[key] for key in ("targets", "horizon")}
                stated = dataclasses.replace(facts.stated, **answers)
                facts = dataclasses.replace(facts, stated=stated)
                ask = Ask(yes=True)

    def _draft(self, facts: Facts, ask: Ask, name: str, split: Table, *, rich: bool) -> Draft:
        share = _share(split)
        targets, why = self._targets(facts, ask, share)
        series = [_part(facts, target, share) for target in targets]
        repeats = _season(series)
        every = repeats.every if repeats and repeats.every < facts.longest * share / 3 else None
        horizon, reason = self._horizon(facts, ask, every)
        farthest = horizon if isinstance(horizon, int) else max(horizon)
        data: dict[str, Key] = {}
        if "channels" in facts.finding.data:
            data["channels"] = Key([*facts.channels])
        window = rounded(max(2 * (every or 0), 4 * farthest, 48))
        window = max(2, min(window, facts.longest // 8, 400))
        stride = max(1, window // 4, rounded(facts.rows / WINDOWS))
        data |= with_windows(
            window, stride, "training only: the rest streams whole", facts.shortest // 2
        )
        if every and repeats:
            said = f"{repeats.autocorrelation:.2f} is the autocorrelation at that lag"
            data["season"] = Key(every, said)
        counted = all(map(_from_zero, series))
        drop: list[str] = []
        tables: tuple[Table, ...] = ()
        if rich and not self.cautious and facts.section.has_columns:
            drop, tables = _derived(facts, targets, series, every)
        if drop:
            data["drop"] = Key(drop, "the level moved: only its transforms are inputs")
        count = windows(facts, window, stride)
        size = batch(count)
        model = {
            "task": Key(name, self.reason(facts) or "as you said"),
            "targets": Key(targets, why),
            "horizon": Key(horizon, reason),
            **self._intervals(targets),
            "residual": Key(True, "forecast the change from the value now"),
            "hidden_size": Key(64 if facts.rows > 5000 else 32 if facts.rows > 500 else 16),
        }
        if counted:
            model["low"] = Key(0, "the least that there was, or near it")
        train = {
            "epochs": epochs(count, size, 900, 60),
            "batch_size": Key(size),
            "learning_rate": Key(0.003),
            "refit": Key(True, "on training and validation together: the latest is the likest"),
        }
        parts = {"model": model | self.more(), "train": train, "augment": {"noise": Key(0.2)}}
        return draft(facts, split, parts, data, tables, _of_plans(facts))

    def more(self) -> dict[str, Key]:
        """Further keys of [model]."""
        return {}

    def _intervals(self, targets: Many[str]) -> dict[str, Key]:
        if self.cautious or len(targets) > 2:
            return {}
        return {"quantiles": Key([0.05, 0.5, 0.95], "the median, and an interval of 90 %")}

    def refined(self, draft: Draft, read: Read) -> Draft:
        """Without the other columns, if they make a linear forecast no better on validation."""
        values = draft.values()
        every = values["data"].get("channels", [])
        needed = [*values["model"]["targets"], *filter(KNOWN.fullmatch, every)]
        others = [name for name in every if name not in needed]
        if not others:
            return draft
        kept = [name for name in every if name in needed]
        fewer = draft.without(others)
        whole = linear_error(*read(draft))
        alone = linear_error(*read(fewer))
        if whole is None or alone is None or whole < (1 - WORTH) * alone:
            return draft
        change = f"{abs(whole / alone - 1):.1%} {'higher' if whole > alone else 'lower'}"
        why = f"with {', '.join(others)} a linear forecast's error on validation is {change}"
        return fewer.with_key("data", "channels", Key(kept, why))

    def _targets(self, facts: Facts, ask: Ask, share: float) -> tuple[list[str], str]:
        if facts.stated.targets:
            return [*facts.stated.targets], "as you said"
        able = [c for c in facts.channels if c not in facts.finding.known]
        changing = [c for c in able if len(np.unique(_part(facts, c, share))) > 2]
        able = changing or able or [*facts.channels]
        found, why = able[:MANY], "the first columns of numbers"
        if len(able) <= MANY:
            why = "the only column" if len(able) == 1 else "all columns of numbers"
        for pattern in WANTED:
            if named := [c for c in able if re.fullmatch(pattern, c, re.IGNORECASE)]:
                found, why = named[:1], "its name"
                break
        return ask.of("Columns to forecast", found, why, columns(able)), why

    def _horizon(self, facts: Facts, ask: Ask, every: int | None) -> tuple[int | list[int], str]:
        if facts.stated.horizon is not None:
            given = facts.stated.horizon
            return (given if isinstance(given, int) else [*given]), "as you said"
        most = max(1, facts.longest // 40)
        if every is not None and every <= 400:
            guess: int | list[int] = [1, every]
            why = "a step and a season ahead"
        else:
            guess = min(AHEAD, most)
            why = "steps ahead; say how far with --horizon"
        return ask.of("Steps ahead, such as 12 or 1,24", guess, why, steps), why


def _of_plans(facts: Facts) -> tuple[str, ...]:
    """What the user may know of columns that a calendar tells."""
    if not facts.finding.known:
        return ()
    each = ", ".join(f'"{name}"' for name in facts.finding.known)
    return (
        f"Are these known when a forecast is made? Then known = [{each}] makes it better, and a "
        "board must get their future too.",
    )


def _share(split: Table) -> float:
    """Of the rows of a recording, those of training: they come first."""
    held_out: float = sum(split.keys[part].value for part in ("val", "test") if part in split.keys)
    return 1 - held_out


def _part(facts: Facts, target: str, share: float) -> Float64:
    """The training rows of the longest recording. (T,) share: of its rows."""
    able = [r for r in facts.recordings if r.part != "test"]
    longest = max(able, key=lambda r: len(r.x))
    if target not in facts.channels:
        return np.zeros(0)
    column: Float64 = longest.x[
        : max(1, round(share * len(longest.x))), facts.channels.index(target)
    ]
    return column


@quiet
def _season(series: Many[Float64]) -> Repeats | None:
    found = [r for s in series if len(s) and (r := period([s])) is not None]
    return max(found, key=lambda r: r.autocorrelation, default=None)


def _derived(
    facts: Facts, targets: list[str], series: Many[Float64], every: int | None
) -> tuple[list[str], tuple[Table, ...]]:
    """The targets that are no inputs themselves, and the sections of transforms and the calendar.

    Changes from a step and a season ago, and distances from the mean of a season, carry over to a
    later level that the training has not seen.
    """
    tables: list[Table] = []
    rows = len(series[0])
    step = facts.finding.step
    day = round(DAY / step) if step and step <= DAY / 4 else 0
    weekly = bool(day) and any(_is_weekly(values, day) for values in series)
    spans = [every] if every else []
    if weekly and every and every != 7 * day:
        spans.append(7 * day)
    lags = [1, *spans]
    counts = [
        t
        for t, s in zip(targets, series, strict=True)
        if (s[~np.isnan(s)] >= 0).all() and _skewed(s)
    ]
    if counts:
        said = Key(counts, "never negative, and mostly small: a change counts by its share")
        tables.append(_transform("log", {"channels": said}))
    if lags:
        keys = {"channels": Key(targets), "lag": Key(lags, "changes over so many steps")}
        tables.append(_transform("difference", keys))
    others = [c for c in facts.channels if c not in (*targets, *facts.finding.known)]
    if every and 0 < len(others) <= OTHERS:
        keys = {"channels": Key(others), "lag": Key([1, every])}
        tables.append(_transform("difference", keys))
    if spans:
        keys = {"channels": Key(targets), "steps": Key(spans, "distances from means over so many")}
        tables.append(_transform("distance", keys))
    if facts.finding.dated and step:
        length = rows * step
        able = {
            "hour": bool(day) and length >= 4 * DAY,
            "weekday": weekly,
            "yearday": step <= YEAR / 4 and length >= YEAR / 2,
        }
        parts = [part for part, there in able.items() if there]
        if parts:
            tables.append(Table("data.calendar", {"parts": Key(parts, "of the column `time`")}))
    moved = {t for t, s in zip(targets, series, strict=True) if spans and _moved(s, every or 1)}
    drop = [name for name in counts if name in moved]
    return drop, tuple(tables)


def _transform(kind: str, keys: dict[str, Key]) -> Table:
    return Table("data.transforms", {"type": Key(kind), **keys}, listed=True)


def _from_zero(series: Float64) -> bool:
    """Whether the values begin at 0. A temperature may do so by chance, far above."""
    known = series[~np.isnan(series)]
    return bool(len(known) and 0 <= known.min() <= 0.005 * known.max())


@quiet
def _skewed(series: Float64) -> bool:
    known = series[~np.isnan(series)]
    if not len(known) or known.std() == 0:
        return False
    return bool((((known - known.mean()) / known.std()) ** 3).mean() > 1)


@quiet
def _is_weekly(series: Float64, day: int) -> bool:
    """Whether a row is nearer to that of a week before than to those of days around it."""

    def distance(days: int) -> float:
        return _mean(np.abs(series[days * day :] - series[: -days * day]))

    if len(series) < 21 * day or not day:
        return False
    return bool(distance(7) < 0.9 * np.mean([distance(days) for days in (5, 6, 8, 9)]))


@quiet
def _moved(series: Float64, every: int) -> bool:
    """Whether the mean of the last quarter is far from that of the first."""
    quarter = max(every, len(series) // 4)
    begin, end = series[:quarter], series[-quarter:]
    within = _mean(np.abs(begin - _mean(begin)))
    return bool(abs(_mean(end) - _mean(begin)) > 0.6 * within)


def _mean(values: Float64) -> float:
    """Of those that are known, 0 if none is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 0.0


PLAN = ForecastPlan()
