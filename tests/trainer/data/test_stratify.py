"""Groups are dealt so that each part has about its share of every class."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from edge_lstm.config.common import SplitConfig
from edge_lstm.data.recordings import PARTS, Parts, Recording
from edge_lstm.data.splits import class_counts, dealt, split
from edge_lstm_runtime.errors import DataError


def recording(name: str, group: str, labels: list[str]) -> Recording:
    return Recording(name, group, np.zeros((len(labels), 1)), np.array(labels))


def drawn(seed: int, groups: int) -> list[Recording]:
    """Two recordings each. Group k has its own mixture of three classes."""
    rng = np.random.default_rng(seed)
    made = []
    for k in range(groups):
        shares = rng.dirichlet([0.4, 0.3, 0.2])
        for n in range(2):
            labels = rng.choice(["a", "b", "c"], int(rng.integers(20, 60)), p=shares)
            made.append(recording(f"r{k}.{n}", f"g{k}", labels.tolist()))
    return made


def names(parts: Parts) -> dict[str, set[str]]:
    return {part: {r.group for r in parts[part]} for part in PARTS}


def unevenness(recordings: list[Recording], parts: list[set[str]]) -> float:
    """The root mean square of (share of a class in a part) - (share of the groups in it)."""
    groups = {r.group for r in recordings}
    squares = []
    for part in parts:
        for name in ("a", "b", "c"):
            rows = {True: 0, False: 0}
            for r in recordings:
                assert r.labels is not None
                rows[r.group in part] += int((r.labels == name).sum())
            share = rows[True] / (rows[True] + rows[False])
            squares.append((share - len(part) / len(groups)) ** 2)
    return float(np.sqrt(np.mean(squares)))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    groups=st.integers(3, 40),
    val=st.floats(0.05, 0.4),
    test=st.floats(0.05, 0.4),
)
def test_parts_are_whole_groups_of_the_same_number(
    seed: int, groups: int, val: float, test: float
) -> None:
    assume(sum(max(1, round(share * groups)) for share in (val, test)) < groups)  # some train
    recordings = drawn(seed, groups)
    plain = SplitConfig(by="group", val=val, test=test, seed=seed)
    even = plain.model_copy(update={"stratify": True})
    parts = split(recordings, even, within=False)
    found = names(parts)
    assert sum(len(parts[part]) for part in PARTS) == len(recordings)
    assert not found["train"] & found["val"]
    assert not found["train"] & found["test"]
    assert not found["val"] & found["test"]
    expected = names(split(recordings, plain, within=False))
    assert {p: len(g) for p, g in found.items()} == {p: len(g) for p, g in expected.items()}
    assert names(split(recordings, even, within=False)) == found


def test_shares_are_nearer_than_by_chance() -> None:
    plain = []
    even = []
    for seed in range(20):
        recordings = drawn(seed, 30)
        for stratify, found in ((False, plain), (True, even)):
            config = SplitConfig(by="group", val=0.2, test=0.2, stratify=stratify, seed=seed)
            parts = names(split(recordings, config, within=False))
            found.append(unevenness(recordings, list(parts.values())))
    assert np.mean(even) < np.mean(plain) / 2
    assert max(even) < np.median(plain)


def test_folds_are_about_as_even_as_those_of_scikit_learn() -> None:
    ours = []
    theirs = []
    for seed in range(10):
        recordings = drawn(seed, 30)
        counts = class_counts(recordings)
        folds = dealt(list(counts), [6, 6, 6, 6], counts)
        assert sorted(g for fold in folds for g in fold) == sorted(counts)
        assert [len(fold) for fold in folds] == [6] * 5
        ours.append(unevenness(recordings, [set(fold) for fold in folds]))
        y = np.concatenate([r.labels for r in recordings if r.labels is not None])
        of = np.concatenate([np.full(len(r.x), r.group) for r in recordings])
        split_of = StratifiedGroupKFold(5).split(y, y, of)
        theirs.append(unevenness(recordings, [set(of[test].tolist()) for _, test in split_of]))
    assert np.mean(ours) < 1.5 * np.mean(theirs)


def test_a_rare_class_is_in_training_and_in_another_part() -> None:
    """3 of 20 groups have it."""
    recordings = [recording(f"r{k}", f"g{k}", ["a"] * 9 + ["b"] * (k < 3)) for k in range(20)]
    for seed in range(10):
        config = SplitConfig(by="group", val=0.15, test=0.15, stratify=True, seed=seed)
        parts = names(split(recordings, config, within=False))
        rare = {part: len(found & {"g0", "g1", "g2"}) for part, found in parts.items()}
        assert rare["train"] == 2
        assert rare["val"] + rare["test"] == 1


def test_a_named_part_stays_and_the_rest_is_dealt() -> None:
    recordings = drawn(0, 10)
    config = SplitConfig(by="group", val=0.2, test=("g3", "g4"), stratify=True)
    parts = names(split(recordings, config, within=False))
    assert parts["test"] == {"g3", "g4"}
    assert len(parts["val"]) == 2
    assert len(parts["train"]) == 6


def test_rows_without_a_label_count_for_no_class() -> None:
    counts = class_counts([recording("r", "g", ["", "b", "a", "b", ""]), recording("s", "h", [""])])
    assert {group: found.tolist() for group, found in counts.items()} == {"g": [1, 2], "h": [0, 0]}


def test_no_labels_are_refused() -> None:
    bare = [Recording(f"r{k}", f"g{k}", np.zeros((4, 1))) for k in range(5)]
    with pytest.raises(DataError, match=r"\[data.split\] stratify: r0 has no labels"):
        split(bare, SplitConfig(by="group", stratify=True), within=False)
