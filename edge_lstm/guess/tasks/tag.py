"""A class for each row, in recordings whose class changes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..ask import Ask
from ..choose import choose
from ..draft import Draft, Key
from ..finding import Facts
from ..plan import MANY, Plan, Read, batch, draft, epochs, rounded, splits, windows, with_windows

WINDOW = 60
WINDOWS = 3000


class TagPlan(Plan):
    rank = 4

    def reason(self, facts: Facts) -> str:
        if not facts.labelled or not facts.changing:
            return ""
        return "the class changes inside of recordings"

    def able(self, facts: Facts) -> str:
        return "" if facts.labelled else "no column and no file's name tells a class (--label)"

    def drafts(self, facts: Facts, ask: Ask, name: str) -> Iterator[Draft]:  # noqa: ARG002
        window = max(1, min(WINDOW, facts.longest // 8))
        stride = max(1, window // 2, rounded(facts.rows / WINDOWS))
        data = with_windows(window, stride, "training only", facts.shortest // 2)
        count = windows(facts, window, stride)
        size = batch(count)
        classes = len(facts.groups_of_classes)
        model = {
            "task": Key(name, self.reason(facts) or "as you said"),
            "hidden_size": Key(16 if classes <= 3 else 32 if classes <= 8 else 64),
        }
        train = {
            "epochs": epochs(count, size, 1000, 40),
            "batch_size": Key(size),
            "learning_rate": Key(0.005),
        }
        if (share := _rarest(facts)) < 0.1:
            train["class_weight"] = Key("balanced", f"the rarest class has {share:.1%} of the rows")
        parts = {"model": model, "train": train}
        for split in splits(facts, whole=len(facts.groups) >= MANY):
            yield draft(facts, split, parts, data)

    def refined(self, draft: Draft, read: Read) -> Draft:
        _, splits = read(draft)
        found = choose(splits.train, splits.val, len(splits.classes))
        if found is None or "channels" not in draft.values()["data"]:
            return draft
        names = [splits.channels[k] for k in found.channels]
        others = ", ".join(c for c in splits.channels if c not in names)
        why = (
            f"on validation a linear model of the row is right in {found.score:.1%} with them, in "
            f"{found.whole:.1%} with {others} too"
        )
        return draft.with_key("data", "channels", Key(names, why))


def _rarest(facts: Facts) -> float:
    labels = np.concatenate([r.labels for r in facts.recordings if r.labels is not None])
    _, counts = np.unique(labels[labels != ""], return_counts=True)
    return float(counts.min() / counts.sum()) if len(counts) else 1.0


PLAN = TagPlan()
