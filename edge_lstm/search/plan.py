"""What all processes of a search must agree on: FOLDER/study.json."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ..config.schema import Config
from ..config.search import SearchConfig
from ..data.load import load_data
from ..data.recordings import Splits
from ..results.metrics import title_of
from .budget import Budget
from .space import Space, Values

FILE = "study.json"


@dataclasses.dataclass(frozen=True)
class Plan:
    """config: with the stages and the threads of the chosen net's training. asked: [search].

    metric: of the validation split. recordings: how many have a part in it, in all draws.
    test: the groups of the test split, if the configuration draws them. fingerprint: of the data.
    bench: the contents of --bench, "" if this machine measures.
    """

    config: Config
    asked: SearchConfig
    space: Space
    budget: Budget
    metric: str
    recordings: int
    fingerprint: str
    test: tuple[str, ...] = ()
    bench: str = ""

    @property
    def higher(self) -> bool:
        """Whether a higher value of `metric` is better."""
        return self.metric in self.config.model.HIGHER_IS_BETTER

    @property
    def title(self) -> str:
        return title_of(self.metric)

    @property
    def redrawn(self) -> bool:
        """Whether each draw has other validation recordings. If not, only its seed is another."""
        split = self.config.data.split
        within = split.by == "given" and self.config.model.splits_within_recordings
        return split.by != "time" and isinstance(split.val, float) and not within

    def drawn(self, config: Config, draw: int) -> Config:
        """The configuration of a draw's training, the same test split in all of them."""
        train = {"seed": config.train.seed + draw, "threads": 1, "refit": False}
        split: dict[str, Any] = {}
        if self.redrawn:
            split["seed"] = config.data.split.seed + draw
            if self.test:
                split["test"] = self.test
        data = config.data
        if split:
            data = data.model_copy(update={"split": data.split.model_copy(update=split)})
        return config.model_copy(
            update={
                "train": config.train.model_copy(update=train),
                "data": data,
                "quantize": None,
                "search": None,
            }
        )

    def configured(self, values: Values, draw: int) -> Config:
        return self.drawn(self.space.apply(self.config, values), draw)

    def splits(self, draw: int) -> Splits:
        """The data of a draw. Its test split is not for looking at."""
        return load_data(self.drawn(self.config, draw))

    def chosen(self, values: Values) -> Config:
        """The configuration that is found, with the stages that come after the first one."""
        found = self.space.apply(self.config, values)
        return found.model_copy(update={"search": None})

    @property
    def digest(self) -> str:
        """A name that only searches of the same plan have."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Without the folder of the configuration, which is another on another machine."""
        return {
            "config": self.config.to_dict(),
            "search": self.asked.model_dump(mode="json", exclude_none=True),
            "space": json.loads(json.dumps(self.space.to_dict())),
            "budget": dict(self.budget.limits),
            "metric": self.metric,
            "recordings": self.recordings,
            "fingerprint": self.fingerprint,
            "test": list(self.test),
            "bench": self.bench,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], folder: str) -> Plan:
        asked = {k: tuple(v) if isinstance(v, list) else v for k, v in values["search"].items()}
        return cls(
            Config.from_dict(values["config"], folder),
            SearchConfig.model_validate(asked),
            Space.from_dict(values["space"]),
            Budget(values["budget"]),
            values["metric"],
            values["recordings"],
            values["fingerprint"],
            tuple(values["test"]),
            values["bench"],
        )


def test_groups(config: Config, splits: Splits) -> tuple[str, ...]:
    """The groups of the test split, so that a draw of the validation split leaves them alone."""
    drawn = config.data.split.by == "group" and isinstance(config.data.split.test, float)
    return tuple(sorted({s.group for s in splits.test})) if drawn else ()
