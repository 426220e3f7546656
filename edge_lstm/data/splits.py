"""Training, validation and test, with nothing shared between them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.errors import DataError

from ..config.common import SplitConfig
from .recordings import PARTS, Parts, Recording


def split(recordings: list[Recording], config: SplitConfig, *, within: bool) -> Parts:
    """The recordings, or contiguous pieces of them, of each part.

    within: if the test part is given, validation is the end of each training recording, and not
    whole recordings.
    Raises DataError if a part is empty.
    """
    if config.by == "time":
        assert isinstance(config.val, float)
        assert isinstance(config.test, float)
        parts = _by_time(recordings, config.val, config.test)
    elif config.by == "group":
        parts = _by_group(recordings, config)
    else:
        parts = _given(recordings, config, within=within)
    for part in PARTS:
        if not parts[part]:
            groups = len({r.group for r in recordings})
            raise DataError(
                f"the {part} split is empty: {len(recordings)} recordings in {groups} groups, "
                f"split by {config.by!r}; expected at least one piece in each split; "
                "change [data.split], or add recordings"
            )
    return parts


def _by_time(recordings: list[Recording], val: float, test: float) -> Parts:
    """Each recording cut in three, the latest rows for the test."""
    parts: Parts = {part: [] for part in PARTS}
    for recording in recordings:
        n = len(recording.x)
        borders = [0, n - round(n * val) - round(n * test), n - round(n * test), n]
        for part, start, stop in zip(PARTS, borders[:-1], borders[1:], strict=True):
            if stop > start:
                parts[part].append(recording.piece(start, stop))
    return parts


def _by_group(recordings: list[Recording], config: SplitConfig) -> Parts:
    groups = list(dict.fromkeys(r.group for r in recordings))
    rng = np.random.default_rng(config.seed)
    chosen: dict[str, list[str]] = {}
    for part in ("train", "val", "test"):
        wanted = getattr(config, part)
        if isinstance(wanted, tuple):
            chosen[part] = [str(g) for g in wanted]
            if unknown := [g for g in chosen[part] if g not in groups]:
                raise DataError(
                    f"[data.split] {part}: there is no group {unknown[0]!r}; "
                    f"the groups are {_some(groups)}"
                )
    named = [g for part in chosen.values() for g in part]
    if repeated := [g for g in named if named.count(g) > 1]:
        raise DataError(
            f"[data.split]: group {repeated[0]!r} is in more than one split; "
            "expected each group once"
        )
    rest = [g for g in groups if g not in named]
    rng.shuffle(rest)
    drawn = [part for part in ("val", "test") if part not in chosen]
    sizes = [max(1, round(getattr(config, part) * len(groups))) for part in drawn]
    *parts, rest = dealt(rest, sizes, class_counts(recordings) if config.stratify else None)
    chosen |= dict(zip(drawn, parts, strict=True))
    chosen.setdefault("train", rest)
    return {part: [r for r in recordings if r.group in set(chosen[part])] for part in PARTS}


Counts = dict[str, NDArray[np.int64]]  # (classes,) the rows of each class in a group


def class_counts(recordings: list[Recording]) -> Counts:
    """Raises DataError if a recording has no labels."""
    if bare := [r.name for r in recordings if r.labels is None]:
        none = f"{bare[0]} has no labels, whose shares the parts are to have"
        raise DataError(f"[data.split] stratify: {none}; remove it, or label the data")
    labels = [(r.group, r.labels[r.labels != ""]) for r in recordings if r.labels is not None]
    names = np.unique(np.concatenate([found for _, found in labels]))
    counts: Counts = {group: np.zeros(len(names), np.int64) for group, _ in labels}
    for group, found in labels:
        counts[group] += np.bincount(np.searchsorted(names, found), minlength=len(names))
    return counts


def dealt(groups: list[str], sizes: list[int], counts: Counts | None) -> list[list[str]]:
    """The groups in parts of these sizes, and last those that are left.

    They are dealt in their order, or, if there are counts, so that each part has about its share of
    the rows of every class. As in scikit-learn's StratifiedGroupKFold the groups with the least
    even classes come first. Each goes to the part that then is nearest to its shares.
    """
    if counts is None or sum(sizes) >= len(groups):
        ends = np.cumsum(sizes).tolist()
        return [groups[a:b] for a, b in zip([0, *ends], [*ends, len(groups)], strict=True)]
    sizes = [*sizes, len(groups) - sum(sizes)]
    wanted = np.array(sizes) / len(groups)
    total = np.maximum(sum(counts[g] for g in groups), 1)
    held = np.zeros((len(sizes), len(total)))
    parts: list[list[str]] = [[] for _ in sizes]
    for group in sorted(groups, key=lambda g: -float((counts[g] / total).std())):
        share = counts[group] / total
        # The change of each part's squared distance from its shares, over its size (chi-squared).
        farther = (share + 2 * (held - wanted[:, None])) @ share / wanted
        full = [len(part) >= size for part, size in zip(parts, sizes, strict=True)]
        best = int(np.where(full, np.inf, farther).argmin())
        parts[best].append(group)
        held[best] += share
    return parts


def _given(recordings: list[Recording], config: SplitConfig, *, within: bool) -> Parts:
    assert isinstance(config.val, float)
    train, test = ([r for r in recordings if r.part == part] for part in ("train", "test"))
    if within:  # often there is only one recording
        borders = [(r, len(r.x) - round(len(r.x) * config.val)) for r in train]
        return {
            "train": [r.piece(0, border) for r, border in borders if border > 0],
            "val": [r.piece(border, len(r.x)) for r, border in borders if border < len(r.x)],
            "test": test,
        }
    held_out = _stratified(train, config.val, config.seed)
    return {
        "train": [r for r in train if r.group not in held_out],
        "val": [r for r in train if r.group in held_out],
        "test": test,
    }


def _stratified(recordings: list[Recording], fraction: float, seed: int) -> set[str]:
    """The groups for validation, the same share of each class.

    Groups stay whole, so that no subject is on both sides. A class with only one group stays in
    training.
    """
    classes: dict[str, list[str]] = {}
    for group in dict.fromkeys(r.group for r in recordings):
        labels = np.concatenate(
            [r.labels for r in recordings if r.group == group and r.labels is not None]
            or [np.array([""])]
        )
        names, counts = np.unique(labels, return_counts=True)
        classes.setdefault(str(names[np.argmax(counts)]), []).append(group)
    rng = np.random.default_rng(seed)
    held_out: set[str] = set()
    for name in sorted(classes):
        groups = classes[name]
        if len(groups) > 1:
            count = min(len(groups) - 1, max(1, round(fraction * len(groups))))
            held_out.update(groups[k] for k in rng.permutation(len(groups))[:count])
    return held_out


def label_runs(recordings: Iterable[Recording]) -> list[Recording]:
    """Each recording cut at the changes of its label."""
    runs = []
    for recording in recordings:
        assert recording.labels is not None
        changes = np.flatnonzero(recording.labels[1:] != recording.labels[:-1]) + 1
        borders = [0, *changes.tolist(), len(recording.x)]
        runs += [recording.piece(start, stop) for start, stop in pairwise(borders)]
    return runs


def _some(names: list[str]) -> str:
    return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
