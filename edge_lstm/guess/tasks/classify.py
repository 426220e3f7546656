"""A class for each recording."""

from __future__ import annotations

from collections.abc import Iterator

from ..ask import Ask
from ..draft import Draft, Key
from ..finding import Facts
from ..plan import Plan, batch, draft, epochs, rounded, splits, windows, with_windows

LONG = 40  # steps, of a recording that is worth cutting into windows
MOST = 100  # steps of a window
WINDOWS = 4000  # about so many in an epoch
SMALL = 6  # classes


class ClassPlan(Plan):
    rank = 5

    def reason(self, facts: Facts) -> str:
        if not facts.labelled or facts.changing:
            return ""
        return f"each recording has one of {len(facts.groups_of_classes)} classes"

    def able(self, facts: Facts) -> str:
        return "" if facts.labelled else "no column and no file's name tells a class (--label)"

    def drafts(self, facts: Facts, ask: Ask, name: str) -> Iterator[Draft]:  # noqa: ARG002
        sound = bool(facts.finding.tables)
        classes = len(facts.groups_of_classes)
        length = facts.usual_length
        data = {}
        count = len(facts.recordings)
        if length > LONG and not (sound and length <= 2 * MOST):
            window = min(rounded(length / 2), MOST)
            stride = max(1, window // 10, rounded(facts.rows / WINDOWS))
            said = f"training only: half of the usual recording ({length} steps)"
            if window == MOST:
                said = "training only: validation and test stream whole recordings"
            data = with_windows(window, stride, said, facts.shortest)
            count = windows(facts, window, stride)
        model = {
            "task": Key(name, self.reason(facts) or "as you said"),
            "hidden_size": Key(64 if classes <= SMALL and not sound else 112, f"{classes} classes"),
        }
        size = batch(count)
        train = {
            "epochs": epochs(count, size, 1500, 60),
            "batch_size": Key(size),
            "learning_rate": Key(0.003 if sound or not data else 0.002),
            "loss_steps": Key("last", "the first steps of a recording don't show its class yet"),
            "label_smoothing": Key(0.1),
        }
        if not data:
            train["carry"] = Key(0.0, "each recording begins new")
        if sound:
            augment = {
                "level": Key(0.3, "louder and quieter"),
                "mask_steps": Key(0.2),
                "mask_channels": Key(0.25),
            }
        else:
            augment = {"noise": Key(0.1, "of a channel's deviation")}
        enough = min(facts.groups_of_classes.values(), default=0) >= 3
        parts = {"model": model, "train": train, "augment": augment}
        for split in splits(facts, whole=enough):
            yield draft(facts, split, parts, data)


PLAN = ClassPlan()
