"""The characters of a text."""

from __future__ import annotations

from collections.abc import Iterator

from ..ask import Ask
from ..draft import Draft, Key, Table
from ..finding import Facts
from ..plan import Plan, draft

PARTS = ((0.05, 0.05), (0.1, 0.1), (0.2, 0.2))  # a text is long, and each character of it counts


class LanguagePlan(Plan):
    rank = 9

    def reason(self, facts: Facts) -> str:
        return "it is text, and no table" if facts.section.characters else ""

    def able(self, facts: Facts) -> str:
        return "" if facts.section.characters else "the data is no plain text"

    def drafts(self, facts: Facts, ask: Ask, name: str) -> Iterator[Draft]:  # noqa: ARG002
        kinds = len({float(point) for r in facts.recordings for point in r.x[:, 0]})
        window = min(int(facts.finding.data["window"].value), max(2, facts.longest // 20))
        streams = 16 if facts.longest > 100 * window else max(1, facts.longest // (4 * window))
        size = 128 if facts.rows > 50_000 else 64
        updates = max(1, facts.rows // (window * streams))
        model = {
            "task": Key(name, self.reason(facts)),
            "hidden_size": Key(size, f"{facts.rows:,} characters, {kinds} different ones"),
        }
        train = {
            "epochs": Key(max(5, min(20, round(8000 / updates)))),
            "batch_size": Key(streams, "streams of the text, read side by side"),
            "learning_rate": Key(0.003),
            "monitor": Key("bits_per_character"),
        }
        parts = {"model": model, "train": train}
        data = {"window": facts.finding.data["window"]._replace(value=window)}
        for val, test in PARTS:
            keys = {"by": Key("time", "the end of each text is held out"), "val": Key(val)}
            keys["test"] = Key(test)
            if facts.finding.given:
                keys = {"by": Key("given"), "val": Key(val)}
            yield draft(facts, Table("data.split", keys), parts, data)


PLAN = LanguagePlan()
