"""The period of data that repeats, found in the training split by its autocorrelation.

The changes x[t] - x[t - d] are looked at for d = 1, 2, 4 and so on, because the changes of a random
walk over d steps are uncorrelated from d steps on, and an AR(1) process has none that come again. A
period of about 2 d stands out in them, also of noisy data.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from collections.abc import Sequence as Many
from typing import Any

import numpy as np

from edge_lstm_runtime.model.spec import ModelSpec

from ..config.schema import Config
from .recordings import Float64, Sequence, Splits, in_turn, let_go_of
from .remembered import remembered
from .windows import future, season_before

CLEAR = 0.3  # the least autocorrelation of a period
CERTAIN = 4.0  # standard deviations of the autocorrelation of a process without a period
PERIODS = 4  # the least number of periods in the longest recording
SHORTEST = 4  # steps of a period
RARE = 0.005  # share of the changes at either end that may be outliers
LONGEST = 100_000  # the last steps of a recording that are looked at
MOST = 2_000_000  # steps of all: further recordings are not looked at


@dataclasses.dataclass(frozen=True)
class Repeats:
    """every: steps. autocorrelation: at that lag, of the changes over `change` steps."""

    every: int
    autocorrelation: float
    change: int


def period(recordings: Many[Float64]) -> Repeats | None:
    """The first clear period of a channel, None if there is none.

    recordings: (T,) each, NaN if a value is missing. A period is a peak of the autocorrelation, at
    least CLEAR, beyond chance, and higher than all around it, by a quarter at half the lag. There
    is another one at twice the lag.
    """
    recent = [r[-LONGEST:] for r in recordings]
    recent = recent[: 1 + int(np.searchsorted(np.cumsum([len(r) for r in recent]), MOST))]
    longest = max((len(r) for r in recent), default=0) // PERIODS
    found: list[Repeats] = []
    change = 1
    while 2 * change <= longest:
        found += _peaks(recent, change, longest)
        change *= 2
    if not found:
        return None
    first = min(peak.every for peak in found)
    near = [peak for peak in found if peak.every <= 1.25 * first]
    return max(near, key=lambda peak: peak.autocorrelation)


def _peaks(recordings: Many[Float64], change: int, longest: int) -> Iterator[Repeats]:
    """The period between 5/4 and 7/2 of `change`, if there is one."""
    changes = [r[change:] - r[:-change] for r in recordings if len(r) > 2 * change]
    first = max(SHORTEST, 5 * change // 4)
    last = min(max(7 * change // 2, SHORTEST + 1), longest)
    found, pairs = _autocorrelation(changes, 2 * longest)
    if found is None or last < first:
        return
    every = first + int(np.argmax(found[first : last + 1]))
    height = found[every]
    around = found[every // 2 : every + every // 2 + 1].max()
    between = found[every // 4 + 1 : every - every // 4].max()
    again = found[2 * every - every // 4 : 2 * every + every // 4 + 1].max()
    # Bartlett (1946): the deviation of an autocorrelation beyond the process's own memory.
    chance = np.sqrt((1 + 2 * np.square(found[1 : change + 1]).sum()) / pairs[every])
    clear = height >= max(CLEAR, CERTAIN * chance)
    if clear and height >= around and 0.75 * height >= between and again >= height / 2:
        every = _exact(found, every)
        yield Repeats(every, float(found[every]), change)


def _exact(found: Float64, every: int) -> int:
    """By a peak some periods later, as far as they are as high: noise then shifts it less."""
    near = max(every // 8, 1)
    lag = every
    periods = 1
    while 2 * lag + near < len(found):
        start = 2 * lag - near
        later = start + int(np.argmax(found[start : 2 * lag + near + 1]))
        if found[later] < 0.75 * found[every]:
            break
        lag = later
        periods *= 2
    return round(lag / periods)


def _autocorrelation(recordings: Many[Float64], lags: int) -> tuple[Float64 | None, Float64]:
    """Of all recordings together, at the lags 0 to `lags`, and the number of pairs at each.

    Missing values are left out, and the most extreme count as the quantiles RARE and 1 - RARE: two
    outliers alone are no period. None if nothing changes.
    """
    products = np.zeros(lags + 1)
    pairs = np.zeros(lags + 1)
    values = np.concatenate([np.zeros(0), *recordings])
    if not np.isfinite(values).any():
        return None, pairs
    low, high = np.nanquantile(values, (RARE, 1 - RARE))
    mean = np.nanmean(np.clip(values, low, high))
    for recording in recordings:
        known = np.isfinite(recording)
        size = 1 << (len(recording) + lags).bit_length()
        for row, total in (
            (np.where(known, np.clip(recording, low, high) - mean, 0), products),
            (known, pairs),
        ):
            power = np.abs(np.fft.rfft(row, size)) ** 2
            total += np.fft.irfft(power, size)[: lags + 1]
    pairs = np.maximum(np.round(pairs), 1)
    covariance = products / pairs
    if not covariance[0] > 0:
        return None, pairs
    return covariance / covariance[0], pairs


def with_season(
    config: Config, spec: ModelSpec, splits: Splits
) -> tuple[Config, dict[str, Any] | None]:
    """The configuration with the period that was found as its `season`, and what was found.

    It is as it was if it has a season, if its task has none or if nothing repeats, and also if the
    period leaves less than half of the test split to be measured. `used` then says so.
    """
    if config.data.season is not None or "season" not in config.model.USES:
        return config, None
    described = spec.to_dict()
    key = ["season", config.to_dict(), described["inputs"], described["answer"]]
    facts = remembered(splits, key, lambda: _found(config, spec, splits))
    if facts is None or not facts["used"]:
        return config, facts
    return _seasonal(config, facts["every"]), facts


def _found(config: Config, spec: ModelSpec, splits: Splits) -> dict[str, Any] | None:
    columns = zip(spec.answer.targets, spec.answer.channels(spec.inputs), strict=True)
    found = {name: period([s.normal[:, k] for s in splits.train]) for name, k in columns}
    let_go_of(splits)
    periods = {name: repeats for name, repeats in found.items() if repeats is not None}
    if not periods:
        return None
    target, clearest = max(periods.items(), key=lambda item: item[1].autocorrelation)
    every = clearest.every
    fits = all(place != ("data", "season") for place, _ in _seasonal(config, every).rules())
    used = fits and _measured(spec, splits.test, every) >= 0.5
    return {"target": target, **dataclasses.asdict(clearest), "used": used}


def _seasonal(config: Config, every: int) -> Config:
    return config.model_copy(update={"data": config.data.model_copy(update={"season": every})})


def _measured(spec: ModelSpec, sequences: Many[Sequence], season: int) -> float:
    """The share of the steps with a known future that have a known season before it too."""
    known = [np.isfinite(future(spec, s.x)).all(axis=1) for s in in_turn(sequences)]
    before = [np.isfinite(season_before(spec, s.x, season)).all(axis=1) for s in in_turn(sequences)]
    both = sum(int((k & b).sum()) for k, b in zip(known, before, strict=True))
    return both / max(sum(int(k.sum()) for k in known), 1)
