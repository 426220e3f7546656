"""Every figure in a sentence is one of the tables', and every "beats" is true: of every recipe."""

from __future__ import annotations

import dataclasses
import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_lstm import Run, Sequence, evaluate, load_config, train
from edge_lstm.cli.train import closing
from edge_lstm.recipes.listing import recipes
from edge_lstm.results import alarms
from edge_lstm.results.quantiles import intervals
from edge_lstm_export import export_run
from edge_lstm_export.cli.export import summary
from edge_lstm_export.measure.grades import GOOD, POOR, words
from edge_lstm_export.measure.keys import NUMPY
from edge_lstm_export.measure.speed import machine
from edge_lstm_export.work import Work
from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.model.measured import Measured
from edge_lstm_runtime.model.spec import ModelSpec
from edge_lstm_runtime.tasks.forecast import Forecast
from helpers.paths import ROOT
from helpers.sentences import (
    Fact,
    false_verdicts,
    flat,
    mutations,
    prose,
    table_facts,
    unsupported,
)
from helpers.specs import chain

FOLDERS = [
    Path(p) for p in (os.environ.get("EDGE_LSTM_DATA"), ROOT.parent / "shared" / "data") if p
]
DATA = next((folder for folder in FOLDERS if (folder / "nab").is_dir()), None)
# Constants in sentences: the share of an interval, and what is good (docs/backends.md).
LITERALS = ("95 % interval", "above 0.01", "above 0.002", "The first 12 of")
LITERALS += (machine(), "those within 5 %", "pointers of 64 bits")
LITERALS += tuple(words(name, scheme) for name in (GOOD, POOR) for scheme in ("w8a8", "fp16"))
FACTS = [
    Fact("/test/per_target/users/mae", 28.125),
    Fact("/test/per_target/users/rmse", 41.0649),
    Fact("/test/per_target/users/nrmse", 0.2051),
    Fact("/test/baselines/naive/per_target/users/mae", 78.4),
    Fact("/test/steps", 2604),
    Fact("/test/accuracy", 0.8279),
    Fact("/test/accuracy_all_steps", 0.7654),
    Fact("/test/right", 6),
    Fact("/test/sequences", 6),
    Fact("/test/accuracy_low", 0.6097),
    Fact("/test/accuracy_high", 1.0),
    Fact("/table/native-int8/worst recording", 6.4e-3),
    Fact("/table/native-int8/NRMSE", 2.4e-3),
    Fact("/season/every", 24),
    Fact("/p50_us/native", 0.22),
    Fact("/p50_us/native-fp16", 0.21),
    Fact("/kilobytes/native-fp16", 2.37),
]


@pytest.mark.parametrize(
    "sentence",
    [
        "test error      MAE 28.12, RMSE 41.06, NRMSE 0.2051 over 2,604 steps",
        "The model beats it: MAE 28.12 against 78.4 (64.1 % lower).",
        "is right in 82.8 %, over all 2,604 steps in 76.5 %",
        "RMSE 41.06 at the last step of 6 sequences over 2,604 steps of 6 sequences",
        "on this machine's CPU, 'BasicMotions:28' and 'users' of 6 sequences",
        "6 of 6 sequences right: 95 % interval 61.0 to 100.0 %",
        "NRMSE 2.4e-03 when reset (worst recording 'BasicMotions_TEST:28' 6.4e-03) on rk3588.rknn",
        "set season = 24 in [data]",
        "native-int8 and float64 have no figure",
        "Use native-fp16: 0.21 µs a step and 2.37 kB of weights, no loss on the test split.",
        "native-fp16 takes 0.21 µs a step and 2.37 kB of weights, but it is not usable.",
    ],
)
def test_a_figure_is_found_under_its_name_and_a_changed_one_is_not(sentence: str) -> None:
    assert unsupported(sentence, FACTS, LITERALS) == []
    changed = list(mutations(sentence, LITERALS))
    assert len(changed) == len(set(changed))
    for other in changed:
        assert unsupported(other, FACTS, LITERALS) != [], other


@pytest.mark.parametrize(
    ("sentence", "wrong"),
    [
        ("MAE 28.97", ["28.97"]),  # 3 % more
        ("MAE 41.06", ["41.06"]),  # the RMSE's
        ("RMSE 41.064", ["41.064"]),  # not rounded but cut off
        ("over 2,526 steps", ["2,526"]),
        ("over 6 steps", ["6"]),  # of sequences
        ("MAE 28.12 against 78.4 (64.2 % lower)", ["64.2 % lower"]),
        ("MAE 28.12 against 78.4 (64.1 % higher)", ["64.1 % higher"]),
        ("good is at most 0.0103 everywhere", ["0.0103"]),
        ("right in 82.7 %", ["82.7"]),
        ("Use native-fp16: 0.22 µs a step and 2.37 kB", ["0.22"]),  # native's
        ("native takes 0.22 µs a step and 2.37 kB", ["2.37"]),
    ],
)
def test_a_wrong_figure_is_named(sentence: str, wrong: list[str]) -> None:
    assert unsupported(sentence, FACTS, LITERALS) == wrong


def judged(answers: float) -> dict[str, Any]:
    """A forecast that is so many times the truth, which alternates between -5 and 5."""
    x = np.tile([-5.0, 5.0], 30)[:59]
    spec = ModelSpec(
        Channels(("a",), (0.0,), (1.0,)), chain(1, 2, 1, 1), Forecast(("a",), 1, (0.0,), (1.0,))
    )
    truth = np.append(x[1:], 5.0)
    return evaluate(spec, [Sequence("s", "s", x[:, None])], [answers * truth[:, None]], season=2)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0, 2.5, -1.0])
def test_a_verdict_is_true_and_another_one_is_not(share: float) -> None:
    found = judged(share)
    assert false_verdicts(found) == []
    said = found["verdict"]
    for old, new in (
        ("does not beat", "beats"),
        ("beats", "does not beat"),
        ("has lower errors than", "beats"),
        (" A constant, the test split's mean, would do", " It would do"),
        (" The answers are nearly a flat line", " The answers are"),
        ("would do better", "would do as well"),
        ("MAE 5 against", "MAE 5.15 against"),
    ):
        if old in said:
            assert false_verdicts({**found, "verdict": said.replace(old, new, 1)}) != []
    flipped = {**found, "beats_naive": not found["beats_naive"]}
    assert false_verdicts(flipped) != []


def facts_of(run: Run, work: Work, page: str) -> list[Fact]:
    """What the tables and files of a run and its export say."""
    network = run.spec.network
    own = {key: value for key, value in run.metrics.items() if key != "val"}
    validation = {alarms.KEY: run.metrics["val"].get(alarms.KEY)}
    facts = [*flat({**own, "val": validation}), *table_facts(page)]
    for name, found in work.metrics.items():
        facts += flat(found, f"/{name}")
        exact = work.metrics[NUMPY.never_reset() if name.carried else NUMPY]
        facts += _changes(f"/{name}/change", found, exact)
    for name, accuracy in work.accuracy.items():
        facts += flat(dataclasses.asdict(accuracy.comparison), f"/{name}")
    for name, judgement in work.judgements.items():
        passes = {how: dataclasses.asdict(found) for how, found in judgement.passes.items()}
        facts += flat(passes, f"/{name}")
    facts += flat({"network": [dataclasses.asdict(layer) for layer in network.layers]})
    sizes = {
        "parameters": network.parameters,
        "macs": network.macs_per_step,
        "kilobytes": [
            round(work.out.stat().st_size / 1000),
            *({speed.name.backend: speed.weights / 1000} for speed in work.speeds),
        ],
        "p50_us": [{speed.name.backend: speed.p50_us} for speed in work.speeds],
        "right_backends": sum(is_right(work, speed.name) for speed in work.speeds),
        "golden": len(work.stream),
        "golden_sequences": len(work.lengths),
        "classes": getattr(run.spec.answer, "size", 0),
        "outputs": run.spec.answer.size,
        "targets": len(getattr(run.spec.answer, "targets", ())),
        "season": run.config.data.season,
        "nominal": [share for *_, share in intervals(getattr(run.spec.answer, "quantiles", ()))],
    }
    sizes["bits of all classes"] = math.log2(sizes["classes"])
    return [*facts, *flat(sizes)]


def is_right(work: Work, name: Measured) -> bool:
    """Whether a backend is in float32, or in fewer bits and its first metric is not worse."""
    judgement = work.judgements.get(name)
    if judgement is None:
        return True
    first = [change.worse[0] for change in judgement.changes.values() if change.worse]
    return judgement.verdict != "not usable" and max(first, default=1.0) < 0.05


def _changes(path: str, found: dict[str, Any], exact: dict[str, Any]) -> list[Fact]:
    """In points for a share, in percent for an error."""
    facts = []
    for key, value in found.items():
        before = exact.get(key)
        if isinstance(value, float) and isinstance(before, float) and before:
            share = "accuracy" in key or key == "macro_f1"
            by = 100 * (value - before) if share else 100 * (value / before - 1)
            facts.append(Fact(f"{path}/{key}", round(by, 1)))
    for target, each in found.get("per_target", {}).items():
        facts += _changes(f"{path}/{target}", each, exact["per_target"][target])
    return facts


def sentences_of(run: Run, work: Work, page: str) -> list[str]:
    """What `train` and `export` print, and the report's prose."""
    printed = [*closing(run).splitlines(), *summary(work).splitlines()]
    told = [line for line in printed if not line.startswith(FILES) and not ROWS.search(line)]
    return [*told, *prose(page), *run.metrics["notes"]]


FILES = ("network ", "bytes ", "written ", "next ")  # and what a network is made of
ROWS = re.compile(r"e-\d\d +\S+e-\d\d  |golden samples; figures from")  # of a table
QUICK = {"train.epochs": 2}


def _there() -> list[Any]:
    """The recipes, those without their data skipped."""
    with pytest.MonkeyPatch.context() as patch:
        if DATA is not None:
            patch.setenv("EDGE_LSTM_DATA", str(DATA))
        return [
            pytest.param(r.name, marks=pytest.mark.skipif(bool(r.missing), reason=r.missing))
            for r in recipes()
        ]


@pytest.mark.slow
@pytest.mark.parametrize("name", _there())
def test_every_sentence_of_a_recipe(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if DATA is not None:
        monkeypatch.setenv("EDGE_LSTM_DATA", str(DATA))
    run = train(load_config(f"recipe:{name}", QUICK), tmp_path / "run", quiet=True)
    check(run, export_run(run, tmp_path / "model.edge", schemes=()))


def check(run: Run, work: Work) -> None:
    page = work.out.with_suffix(".html").read_text("utf-8")
    facts = facts_of(run, work, page)
    sentences = sentences_of(run, work, page)
    wrong = {s: w for s in sentences if (w := unsupported(s, facts, LITERALS))}
    assert wrong == {}
    for metrics in (run.metrics["test"], work.metrics[NUMPY]):
        if "verdict" in metrics and "baselines" in metrics:
            assert false_verdicts(metrics) == []
            assert all(line in prose(page) for line in metrics["verdict"].splitlines())
    if alarms.KEY in run.metrics["test"]:
        assert any("windows detected" in sentence for sentence in sentences)
    survived = [
        other
        for sentence in sentences
        for other in mutations(sentence, LITERALS)
        if not unsupported(other, facts, LITERALS)
    ]
    assert "\n".join(survived) == ""


@pytest.mark.parametrize("fixture", ["forecast_run", "regress_run", "both_run"])
def test_every_sentence_of_a_small_run(
    fixture: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    run = request.getfixturevalue(fixture)
    check(run, export_run(run, tmp_path / "model.edge", schemes=()))
