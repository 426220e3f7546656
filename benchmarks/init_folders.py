"""`edge-lstm init --yes` against a configuration written by hand, on six folders of other people's
data, side by side in one run.

Both divide the data alike, and forecast as far ahead: these are the question, not the answer. The
hand's own keys are those of the package's recipes, which took days to find. A folder's metric is
the mean over seeds, with the deviation.

    EDGE_LSTM_DATA=path/to/data python benchmarks/init_folders.py -o FOLDER --seeds 3
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any, NamedTuple

from edge_lstm import load_config, train
from edge_lstm.config.load import parsed_config
from edge_lstm.config.schema import Config
from edge_lstm.guess.ask import Ask
from edge_lstm.guess.guessed import guessed
from edge_lstm.guess.roles import Stated
from edge_lstm.results.run import Run

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from helpers.six_folders import NAMES, make

WORDS = """
[data]
source = "wav"
path = "{path}"
pattern = '{pattern}'
[data.split]
by = "group"
stratify = true
[front_end]
kind = "log-mel"
sample_rate = 8000
frame_length = 256
hop_length = 128
n_mels = 40
[augment]
level = 0.3
mask_steps = 0.2
mask_channels = 0.25
[model]
task = "classify"
hidden_size = 112
[train]
epochs = 30
batch_size = 32
learning_rate = 0.003
loss_steps = "last"
label_smoothing = 0.1
carry = 0.0
"""
MOTIONS = """
[data]
source = "csv"
path = "{path}"
pattern = '(?P<label>[a-z]+)_.*'
channels = ["accel_x", "accel_y", "accel_z", "gyro_x", "gyro_y", "gyro_z"]
window = 50
stride = 5
[data.split]
by = "group"
stratify = true
[model]
task = "classify"
hidden_size = 64
[train]
epochs = 30
batch_size = 16
learning_rate = 0.002
loss_steps = "last"
label_smoothing = 0.1
"""


class Hand(NamedTuple):
    """A configuration by hand: a text, or a recipe with changes."""

    text: str = ""
    recipe: str = ""
    changes: dict[str, Any] = {}  # noqa: RUF012

    def config(self, path: Path, folder: Path) -> Config:
        if self.text:
            return parsed_config(self.text.replace("{path}", str(path)), folder / "hand.toml")
        changes = {k: str(path) if v == "{path}" else v for k, v in self.changes.items()}
        return load_config(self.recipe, changes)


HANDS = {
    "occupancy": Hand(recipe="recipe:occupancy", changes={"data.split.val": 0.15}),
    "bikes": Hand(recipe="recipe:bikes", changes={"data.season": 24}),
    "digits": Hand(WORDS.replace("{pattern}", r"(?P<label>\d)_(?P<group>[a-z]+)_\d+")),
    "speakers": Hand(WORDS.replace("{pattern}", "(?P<label>[a-z]+)/.*")),
    "motions": Hand(MOTIONS),
    "weather": Hand(
        recipe="recipe:weather",
        changes={
            "data.path": "{path}", "data.separator": ";", "data.decimal": ",",
            "model.horizon": [1, 24],
        },
    ),
}  # fmt: skip


def figures(run: Run) -> dict[str, float]:
    """The accuracy in points, or the mean absolute error at each step ahead."""
    test = run.metrics["test"]
    if "accuracy" in test:
        return {"accuracy, %": 100 * test["accuracy"]}
    return {
        f"MAE, {step['ahead']} ahead": next(iter(step["per_target"].values()))["mae"]
        for step in test["per_step"]
    }


def compared(name: str, out: Path, seeds: int) -> list[dict[str, Any]]:
    data = Path(os.environ["EDGE_LSTM_DATA"])
    source = make(name, data, out / "made")
    found = guessed(source, out / f"{name}.toml", Stated(), Ask(yes=True))
    (out / f"{name}.toml").write_text(found.text, "utf-8")
    hand = HANDS[name].config(source, out)
    results: dict[str, list[dict[str, float]]] = {"init": [], "hand": []}
    for seed in range(seeds):
        for kind, config in (("init", found.config), ("hand", hand)):
            seeded = config.train.model_copy(update={"seed": seed, "accelerator": "cpu"})
            own = config.model_copy(update={"train": seeded})
            run = train(own, out / "runs" / f"{name}-{kind}-{seed}", quiet=True)
            results[kind].append(figures(run))
            print(name, kind, seed, results[kind][-1], file=sys.stderr, flush=True)
    rows = []
    for metric in results["init"][0]:
        of = {kind: [figure[metric] for figure in found] for kind, found in results.items()}
        rows.append({"folder": name, "metric": metric, **of})
    return rows


def shown(row: dict[str, Any]) -> str:
    means = {kind: statistics.mean(row[kind]) for kind in ("init", "hand")}
    spreads = {k: statistics.stdev(row[k]) if len(row[k]) > 1 else 0.0 for k in means}
    share = row["metric"].startswith("accuracy")
    change = means["init"] - means["hand"]
    difference = f"{change:+.1f} points" if share else f"{100 * change / means['hand']:+.1f} %"
    both = [f"{means[kind]:.4g} ± {spreads[kind]:.2g}" for kind in ("init", "hand")]
    return f"| {row['folder']} | {row['metric']} | {both[0]} | {both[1]} | {difference} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=NAMES, action="append")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in args.only or NAMES:
        made = compared(name, args.out, args.seeds)
        (args.out / f"{name}.json").write_text(json.dumps(made, indent=1))
        rows += made
    print(f"{args.seeds} seeds")
    print(
        "| folder | metric | init --yes | by hand | difference |\n| --- | --- | --- | --- | --- |"
    )
    print("\n".join(map(shown, rows)))


if __name__ == "__main__":
    main()
