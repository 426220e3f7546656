"""What training derives from large data, found again by the fingerprint of the data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from edge_lstm_runtime.errors import ConfigError
from edge_lstm_runtime.model.spec import ModelSpec

from . import cache
from .arrays import Arrays
from .examples import Windows
from .recordings import Sequence, Splits, known_by
from .windows import Cuts, add_windows, windows_of

LARGE = 64 << 20  # bytes of the raw values


def is_large(splits: Splits) -> bool:
    """Whether something is kept for these."""
    parts = (splits.train, splits.val, splits.test)
    return sum(s.x.nbytes for part in parts for s in part) >= LARGE


def remembered(splits: Splits, key: Any, find: Callable[[], Any]) -> Any:
    """What `find` says about the splits. If they are large, it is in JSON, and kept.

    key: in JSON, what decides it beside the splits.

    Raises what `find` raises.
    """
    if not is_large(splits):
        return find()
    try:
        return cache.kept(["found", splits.fingerprint, key], lambda _: find())[1]
    except (OSError, ConfigError) as e:
        cache.say_unused(cache.reason(e))
    return find()


def with_fingerprint(splits: Splits, key: Any) -> Splits:
    """The splits with their fingerprint, which is computed once. key: all that decides them."""
    if not is_large(splits):
        return splits
    try:
        found = cache.kept(["fingerprint", key], lambda _: splits.fingerprint)[1]
    except (OSError, ConfigError) as e:
        cache.say_unused(cache.reason(e))
        return splits
    return known_by(splits, found)


def windows(spec: ModelSpec, sequences: list[Sequence], cuts: Cuts, splits: Splits) -> Windows:
    """The windows of some sequences of the splits, mapped into memory if they are large.

    Raises DataError.
    """

    def fill(arrays: Arrays) -> dict[str, Any]:
        return add_windows(arrays, spec, sequences, cuts)

    if is_large(splits):
        described = spec.to_dict()
        names = [(s.name, len(s.x)) for s in sequences]
        about = [described["inputs"], described["answer"], dataclasses.asdict(cuts), names]
        module = cache.module_of(type(spec.answer))
        try:
            return windows_of(*cache.kept(["windows", splits.fingerprint, module, about], fill))
        except OSError as e:
            cache.say_unused(cache.reason(e))
    arrays = Arrays(None)
    facts = fill(arrays)
    return windows_of(arrays.end(), facts)
