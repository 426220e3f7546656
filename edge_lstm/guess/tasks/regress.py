"""A number at every step that is no input."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...data.doubts import proportional
from ...data.recordings import Sequence
from ..ask import Ask, columns
from ..draft import Draft, Key
from ..finding import Facts
from ..plan import MANY, Plan, Read, batch, draft, epochs, rounded, splits, windows, with_windows

LONG = 400  # steps, of a recording that is cut into windows
WINDOW = 120
WINDOWS = 4000


class RegressionPlan(Plan):
    rank = 3

    def reason(self, facts: Facts) -> str:
        if facts.finding.target is None or facts.labelled:
            return ""
        name, why = facts.finding.target
        return f"{name} looks like the answer ({why})"

    def able(self, facts: Facts) -> str:
        if not facts.section.has_columns:
            return "it needs a table with a column of answers"
        if facts.finding.target or facts.stated.targets or not ask_none(facts):
            return ""
        return "state the column of answers: --target"

    def drafts(self, facts: Facts, ask: Ask, name: str) -> Iterator[Draft]:
        known = [c for c in facts.channels if c not in facts.stated.targets]
        if facts.stated.targets:
            targets, why = [*facts.stated.targets], "as you said"
        elif facts.finding.target is not None:
            targets, why = [facts.finding.target[0]], facts.finding.target[1]
        else:
            targets, why = [known[-1]], "the last column"
            targets = ask.of("Columns to answer", targets, why, columns(known))
        channels = [c for c in facts.channels if c not in targets]
        data: dict[str, Key] = {}
        if "channels" in facts.finding.data:
            data["channels"] = Key(channels)
        count = len(facts.recordings)
        if facts.usual_length > LONG:
            stride = max(1, WINDOW // 4, rounded(facts.rows / WINDOWS))
            data |= with_windows(WINDOW, stride, "training only", facts.shortest // 2)
            count = windows(facts, WINDOW, stride)
        model = {
            "task": Key(name, self.reason(facts) or "as you said"),
            "targets": Key(targets, why),
            "hidden_size": Key(64 if facts.rows > 5000 else 32),
        }
        size = batch(count)
        train = {
            "epochs": epochs(count, size, 800, 120),
            "batch_size": Key(size),
            "learning_rate": Key(0.005),
        }
        if len(targets) == 1:
            train["monitor"] = Key("rmse")
        if "window" not in data:
            train["carry"] = Key(0.0, "each recording begins new")
        parts = {"model": model, "train": train, "augment": {"noise": Key(0.1)}}
        for split in splits(facts, whole=len(facts.groups) >= MANY):
            yield draft(facts, split, parts, data)

    def refined(self, draft: Draft, read: Read) -> Draft:
        """Without the channels that give the answer away."""
        _, splits = read(draft)
        values = draft.values()
        channels = values["data"].get("channels", ())
        given = [
            name
            for k, name in enumerate(splits.channels)
            if name in channels and _gives_away(k, splits.train)
        ]
        kept = [name for name in channels if name not in given]
        if not given or not kept:
            return draft
        targets = " or ".join(values["model"]["targets"])
        same = f"the same values as {targets} but for unit and offset"
        return draft.with_key("data", "channels", Key(kept, f"without {', '.join(given)}, {same}"))


def _gives_away(k: int, sequences: list[Sequence]) -> bool:
    """Whether a channel is a target, in another unit. k: its number."""
    x = np.concatenate([s.x[:, k] for s in sequences])
    ys = np.concatenate([s.y for s in sequences if s.y is not None])
    return any(proportional(x, y) for y in ys.T)


def ask_none(facts: Facts) -> bool:
    return len(facts.channels) < 2


PLAN = RegressionPlan()
