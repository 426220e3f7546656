"""A class at every step: metrics, baselines and words against independent computations."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
)

from edge_lstm import Run, evaluate, load_config, load_data, train
from edge_lstm.cli.train import closing
from edge_lstm.compare import compare
from edge_lstm.config.schema import Config
from edge_lstm.data.load import make_spec
from edge_lstm.data.recordings import Sequence, shuffled
from edge_lstm.data.windows import examples
from edge_lstm.results.answers import answers
from edge_lstm.results.events import measure
from edge_lstm.results.rowwise import fit_logistic, fit_majority, fit_threshold
from edge_lstm.tasks.base import task_named
from edge_lstm_export import export_run
from edge_lstm_export.c.export import export_c
from edge_lstm_export.cli.export import summary
from edge_lstm_export.insight.channels import measure_channels
from edge_lstm_export.steps.write_report import verdict
from edge_lstm_runtime import cli, describe, load
from edge_lstm_runtime.errors import BundleError, ConfigError, DataError
from edge_lstm_runtime.model.spec import ModelSpec
from edge_lstm_runtime.tasks.tag import Tag
from helpers.configs import CLASSIFY
from helpers.specs import PEERS
from helpers.specs import make_spec as small_spec

Configure = Callable[..., Config]

TAGS = """
[data]
source = "csv"
path = "machines.csv"
channels = ["load", "noise"]
label = "state"
group = "machine"
window = 25

[data.split]
by = "group"
val = ["m6", "m7"]
test = ["m8", "m9"]

[model]
task = "tag"
hidden_size = 6
tolerance = 2

[train]
epochs = 3
learning_rate = 0.03
batch_size = 4
accelerator = "cpu"
"""


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10 machines, 60 to 78 rows: a blank label at each start, then idle, busy, or worn."""
    folder = tmp_path_factory.mktemp("machines")
    rng = np.random.default_rng(0)
    lines = ["machine,load,noise,state"]
    for k in range(10):
        state = 0
        for t in range(60 + 2 * k):
            if rng.random() < 0.1:
                state = int(rng.integers(3))
            label = "" if t < 3 else ("idle", "busy", "worn")[state]
            lines.append(f"m{k},{state + 0.7 * rng.normal():.3f},{rng.normal():.3f},{label}")
    (folder / "machines.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def config(machines: Path) -> Config:
    (machines / "tags.toml").write_text(TAGS)
    return load_config(machines / "tags.toml")


@pytest.fixture(scope="module")
def run(config: Config, machines: Path) -> Run:
    return train(config, machines / "run", quiet=True)


# --- metrics ---


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    classes=st.integers(2, 4),
    tolerance=st.integers(0, 6),
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=3),
)
def test_figures_are_those_of_scikit_learn_and_of_the_best_matching(
    seed: int, classes: int, tolerance: int, lengths: list[int]
) -> None:
    rng = np.random.default_rng(seed)
    truths = [np.repeat(rng.integers(-1, classes, n), rng.integers(1, 6, n)) for n in lengths]
    truths[0][0] = 0
    told = [np.where(rng.random(len(t)) < 0.7, t, rng.integers(0, classes, len(t))) for t in truths]
    told = [np.where(a < 0, rng.integers(0, classes, len(a)), a) for a in told]
    names = [f"c{k}" for k in range(classes)]
    found = measure(names, truths, told, tolerance)
    true = np.concatenate(truths)
    said = np.concatenate(told)[true >= 0]
    true = true[true >= 0]
    assert found["steps"] == len(true)
    assert found["accuracy"] == pytest.approx(accuracy_score(true, said), rel=1e-12)
    assert found["macro_f1"] == pytest.approx(f1_score(true, said, average="macro"), rel=1e-12)
    assert found["confusion"] == confusion_matrix(true, said, labels=range(classes)).tolist()
    expected = precision_recall_fscore_support(
        true, said, labels=range(classes), zero_division=np.nan
    )
    for name, *figures in zip(names, *expected, strict=True):
        own = found["per_class"][name]
        for key, value in zip(("precision", "recall", "f1", "support"), figures, strict=True):
            assert own[key] == (None if np.isnan(value) else pytest.approx(value, rel=1e-12)), key
    pairs = [best_matching(t, a, classes, tolerance) for t, a in zip(truths, told, strict=True)]
    hits, real, answered = np.sum(pairs, axis=0).sum(axis=1)
    assert found["event_f1"] == pytest.approx(2 * hits / (real + answered), rel=1e-12)


def best_matching(
    truth: np.ndarray[Any, Any], told: np.ndarray[Any, Any], classes: int, tolerance: int
) -> np.ndarray[Any, Any]:
    """(3, classes): hits, true events, answered events, by a matching in a graph."""
    told = np.where(truth < 0, -1, told)

    def begins(steps: np.ndarray[Any, Any], k: int) -> list[int]:
        return [t for t in range(len(steps)) if steps[t] == k and (t == 0 or steps[t - 1] != k)]

    rows = []
    for k in range(classes):
        a = begins(truth, k)
        b = begins(told, k)
        near = [[abs(x - y) <= tolerance for y in b] for x in a]
        graph = csr_array(np.array(near, dtype=int).reshape(len(a), len(b)))
        matched = maximum_bipartite_matching(graph) if a and b else np.array([-1])
        rows.append(((matched >= 0).sum(), len(a), len(b)))
    return np.array(rows).T


def test_events_by_hand() -> None:
    """A begins at 0 and 6, B at 3. Told: A at 0, 5 and 8, B at 4 and 7. One step is allowed."""
    truth = np.array([0, 0, 0, 1, 1, 1, 0, 0, 0])
    told = np.array([0, 0, 0, 0, 1, 0, 0, 1, 0])
    found = measure(["A", "B"], [truth], [told], 1)
    assert found["event_f1"] == pytest.approx(2 * 3 / (3 + 5))
    assert found["per_class"]["A"]["event_f1"] == pytest.approx(2 * 2 / (2 + 3))
    assert found["per_class"]["B"]["event_f1"] == pytest.approx(2 * 1 / (1 + 2))
    assert (found["per_class"]["A"]["events"], found["per_class"]["B"]["events"]) == (2, 1)
    assert measure(["A", "B"], [truth], [told], 0)["event_f1"] == pytest.approx(2 * 1 / 8)


# --- data ---


def test_recordings_are_uncut_and_blank_labels_are_unknown(config: Config) -> None:
    splits = load_data(config)
    assert [s.name for s in splits.test] == ["machines:m8", "machines:m9"]
    assert [len(s.x) for s in splits.test] == [76, 78]
    assert splits.classes == ("busy", "idle", "worn")
    for s in splits.train + splits.val + splits.test:
        assert s.labels is not None
        assert (s.labels[:3] == -1).all()
        assert (s.labels[3:] >= 0).all()
    spec = make_spec(config, splits)
    data = examples(spec, splits.train, window=25)
    assert data.y.shape == data.mask.shape == (18, 25)
    assert (~data.mask).sum() == 3 * 6
    assert not data.y[~data.mask].any()


def test_a_label_is_part_of_the_fingerprint(config: Config, machines: Path) -> None:
    before = load_data(config).fingerprint
    file = machines / "machines.csv"
    text = file.read_text()
    lines = text.splitlines()
    cells = lines[10].split(",")
    lines[10] = ",".join([*cells[:3], "worn" if cells[3] != "worn" else "idle"])
    file.write_text("\n".join(lines) + "\n")
    changed = load_data(config).fingerprint
    file.write_text(text)
    assert changed != before == load_data(config).fingerprint


def test_classify_still_refuses_a_row_without_a_label(machines: Path, config: Config) -> None:  # noqa: ARG001
    text = TAGS.replace('"tag"', '"classify"').replace("tolerance = 2\n", "")
    (machines / "classes.toml").write_text(text)
    with pytest.raises(DataError, match="label column 'state', row 1: there is no label"):
        load_data(load_config(machines / "classes.toml"))


def test_a_test_split_without_a_label_is_refused(config: Config) -> None:
    splits = load_data(config)
    spec = make_spec(config, splits)
    bare = dataclasses.replace(splits.test[0], labels=np.full(76, -1))
    with pytest.raises(DataError, match="no row of the 1 recordings has a label"):
        evaluate(spec, [bare], [np.zeros((76, 3))])


# --- baselines ---


def stumps(values: list[float], truth: list[int]) -> float:
    """The most right answers of any limit between two values, with any class on each side."""
    classes = set(truth)
    best = 0
    for limit in sorted(set(values))[:-1]:
        for low in classes:
            for high in classes:
                pairs = zip(values, truth, strict=True)
                best = max(best, sum(t == (low if v <= limit else high) for v, t in pairs))
    return best / len(truth)


def sequence(x: list[list[float]], labels: list[int]) -> Sequence:
    return Sequence("s", "s", np.array(x, float), labels=np.array(labels))


SPEC = ModelSpec(
    small_spec(channels=["a", "b"], hidden=2, outputs=3, mean=[0.0, 0.0], std=[1.0, 1.0]).inputs,
    small_spec(channels=["a", "b"], hidden=2, outputs=3, mean=[0.0, 0.0], std=[1.0, 1.0]).network,
    Tag(("p", "q", "r"), 1),
)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(4, 25))
def test_the_threshold_is_the_best_of_all(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 6, (n, 2)).astype(float)
    labels = rng.integers(0, 3, n).tolist()
    labels[:2] = [0, 1]
    x[:2, 0] = [0, 5]
    known = sequence(x.tolist(), labels)
    unknown = sequence([[9.0, 9.0]] * 5, [-1] * 5)
    model = fit_threshold(SPEC, [unknown, known])
    assert model is not None
    expected = max(stumps(x[:, c].tolist(), labels) for c in range(2) if len(set(x[:, c])) > 1)
    assert model.right == pytest.approx(expected, rel=1e-12)
    assert (model(known) == np.array(labels)).mean() == pytest.approx(expected, rel=1e-12)


def test_the_threshold_by_hand() -> None:
    rows = sequence([[0, 1], [1, 1], [7, 1], [9, 1]], [2, 2, 0, 0])
    model = fit_threshold(SPEC, [rows])
    assert model is not None
    assert (model.channel, model.limit, model.below, model.above) == ("a", 4.0, 2, 0)
    gap = sequence([[float("nan"), 0], [8, 0], [float("nan"), 0], [4, 0]], [0, 0, 0, 0])
    assert model(gap).tolist() == [0, 0, 0, 2]  # the last value stays; none yet is above
    assert fit_threshold(SPEC, [sequence([[1, 1], [1, 1]], [0, 1])]) is None


def test_the_other_baselines(config: Config) -> None:
    splits = load_data(config)
    spec = make_spec(config, splits)
    y = np.concatenate([s.labels for s in splits.train if s.labels is not None])
    x = np.concatenate([s.x for s in splits.train])[y >= 0]
    most = max(range(3), key=lambda k: int((y == k).sum()))
    assert set(fit_majority(spec, splits.train)(splits.test[0])) == {most}
    mean = np.concatenate([s.x for s in splits.train]).mean(axis=0)
    std = np.concatenate([s.x for s in splits.train]).std(axis=0)
    model = LogisticRegression(max_iter=1000).fit((x - mean) / std, y[y >= 0])
    expected = model.predict((splits.test[0].x - mean) / std)
    found = fit_logistic(spec, splits.train)(splits.test[0])
    assert (found == expected).mean() > 0.98  # the solver stops within its tolerance


# --- the loss and its weights ---


def test_balanced_weights_are_those_of_the_formula(config: Config) -> None:
    splits = load_data(config)
    spec = make_spec(config, splits)
    data = examples(spec, splits.train)
    y = np.concatenate([s.labels for s in splits.train if s.labels is not None])
    counts = np.array([(y == k).sum() for k in range(3)])
    own = config.train.model_copy(update={"class_weight": "balanced"})
    loss = task_named("tag").loss(own, spec).fitted(spec, data)
    weights = counts.sum() / (3 * counts)
    assert loss.weights == pytest.approx(weights.tolist(), rel=1e-12)  # type: ignore[attr-defined]
    assert loss.counts(data).sum() == counts.sum()
    outputs = torch.randn(*data.y.shape, 3, generator=torch.Generator().manual_seed(0))
    logp = outputs.double().log_softmax(-1).numpy()
    expected = sum(
        -weights[data.y[n, t]] * logp[n, t, data.y[n, t]] for n, t in np.argwhere(data.mask)
    )
    tensors = (torch.from_numpy(a) for a in (data.y, data.mask, data.lengths - 1))
    assert float(loss(outputs, *tensors)) == pytest.approx(expected, rel=1e-5)


def test_a_table_of_weights_and_a_name_that_is_no_class(config: Config, tmp_path: Path) -> None:
    splits = load_data(config)
    spec = make_spec(config, splits)
    data = examples(spec, splits.train)
    own = config.train.model_copy(update={"class_weight": {"worn": 4.0}})
    loss = task_named("tag").loss(own, spec).fitted(spec, data)
    assert loss.weights == (1.0, 1.0, 4.0)  # type: ignore[attr-defined]
    wrong = config.train.model_copy(update={"class_weight": {"torn": 4.0}})
    expected = r"class_weight: there is no class 'torn'; the classes are 'busy', 'idle', 'worn'"
    with pytest.raises(ConfigError, match=expected):
        train(config.model_copy(update={"train": wrong}), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("steps", "expected"),
    [("all", [105 / (2 * 45), 105 / (2 * 60)]), ("last", [1.0, 1.0])],
)
def test_weights_of_whole_sequences(
    configure: Configure, classify_csv: Path, steps: str, expected: list[float]
) -> None:
    """3 subjects train: 15 rows of rest and 20 of walk each, so 45 and 60, or 3 and 3 sequences."""
    config = configure(CLASSIFY, train__class_weight="balanced", train__loss_steps=steps)
    splits = load_data(config)
    spec = make_spec(config, splits)
    assert splits.classes == ("rest", "walk")
    loss = (
        task_named("classify").loss(config.train, spec).fitted(spec, examples(spec, splits.train))
    )
    assert loss.weights == pytest.approx(expected, rel=1e-12)  # type: ignore[attr-defined]
    assert classify_csv.exists()


# --- a run ---


def test_metrics_of_the_run_are_of_its_streams(run: Run) -> None:
    for part in ("val", "test"):
        found = answers(run.model, getattr(run.splits, part))
        truth = np.concatenate([s.labels for s in getattr(run.splits, part)])
        told = np.concatenate([a.argmax(axis=1) for a in found])
        right = (truth == told)[truth >= 0].mean()
        assert run.metrics[part]["accuracy"] == pytest.approx(right, rel=1e-12)
    best = run.history[run.metrics["best_epoch"] - 1]
    assert best["val_accuracy"] == pytest.approx(run.metrics["val"]["accuracy"], rel=1e-12)
    assert best["val_macro_f1"] == pytest.approx(run.metrics["val"]["macro_f1"], rel=1e-12)
    first, second = run.metrics["test"]["per_recording"]
    assert (first["name"], first["steps"]) == ("machines:m8", 73)
    assert (second["name"], second["steps"]) == ("machines:m9", 75)


def test_never_reset_is_one_stream(run: Run) -> None:
    order = shuffled(run.splits.test)
    state = None
    right = []
    with torch.no_grad():
        for s in order:
            x = torch.from_numpy(run.spec.inputs.features(s.x)[0].astype(np.float32))[None]
            outputs, state = run.model(x, state)
            assert s.labels is not None
            right += (outputs[0].argmax(dim=1).numpy() == s.labels)[s.labels >= 0].tolist()
    carried = run.metrics["test, state never reset"]
    assert carried["accuracy"] == pytest.approx(np.mean(right), rel=1e-12)


def test_the_baselines_are_on_the_same_steps(run: Run) -> None:
    found = run.metrics["test"]["baselines"]
    assert set(found) == {"majority", "threshold", "logistic"}
    model = fit_threshold(run.spec, run.splits.train)
    assert model is not None
    truth = np.concatenate([s.labels for s in run.splits.test if s.labels is not None])
    told = np.concatenate([model(s) for s in run.splits.test])
    right = (truth == told)[truth >= 0].mean()
    assert found["threshold"]["accuracy"] == pytest.approx(right, rel=1e-12)
    assert found["threshold"]["words"] == f"a threshold on load alone ({model.limit:.4g})"


NUMBER = re.compile(r"\d+(?:\.\d+)?")


def test_the_verdict_says_who_wins_in_the_figures_of_the_table(run: Run) -> None:
    test = json.loads(json.dumps(run.metrics["test"]))
    task = task_named("tag")
    test["accuracy"] = 0.91234
    test["baselines"]["threshold"]["accuracy"] = 0.95678
    test["baselines"]["logistic"]["accuracy"] = 0.5
    test["baselines"]["majority"]["accuracy"] = 0.4
    test["macro_f1"] = 0.5
    for name, f1 in (("threshold", 0.7), ("logistic", 0.6), ("majority", 0.3)):
        test["baselines"][name]["macro_f1"] = f1
    _, overall, *parts = task.verdict(test)
    assert overall.startswith("Overall: the model has an accuracy of 0.9123 (macro F1 ")
    assert "a threshold on load alone" in overall
    assert re.search(r" 0\.9568 \(macro F1 .*: a threshold on load alone \(.*\) wins\.$", overall)
    assert [part.split(":")[0] for part in parts] == ["Recording machines", "Recording machines"]
    test["macro_f1"] = 0.8
    assert re.search(
        r": by accuracy a threshold on load alone \(.*\) wins, by macro F1 the model wins\.$",
        task.verdict(test)[1],
    )
    test["accuracy"] = 0.97
    assert task.verdict(test)[1].endswith("): the model wins.")
    test["accuracy"] = 0.956779  # the same as it is printed
    test["macro_f1"] = 0.7
    assert task.verdict(test)[1].endswith("): neither wins.")
    test["accuracy"] = 0.97
    test["baselines"]["logistic"]["macro_f1"] = 0.71
    assert task.verdict(test)[1].endswith(
        "): by accuracy the model wins, by macro F1 logistic regression on the row wins (0.71)."
    )


def test_the_lines_after_training(run: Run) -> None:
    text = closing(run)
    test = run.metrics["test"]
    carried = run.metrics["test, state never reset"]
    assert f"{test['accuracy']:.4g}, never reset {carried['accuracy']:.4g}" in text
    assert "class worn: precision" in text
    assert "Recording machines:m9: the model has an accuracy of" in text
    assert (run.path / "tags.png").read_bytes().startswith(b"\x89PNG")


# --- export ---


def test_it_is_exported_checked_and_run(
    run: Run, machines: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = export_run(run.path, machines / "tags.edge", schemes=())
    said = " ".join(verdict(work))
    html = (machines / "tags.html").read_text()
    for number in NUMBER.findall(said.split("When the state")[0]):
        assert number in html
    assert "When the state is never reset, the accuracy over all steps is" in said
    assert "a threshold on one channel, machines:m9 alone" in html
    assert "accuracy" in summary(work)
    capsys.readouterr()
    assert cli.main(["check", str(machines / "tags.edge")]) == 0
    (machines / "in.csv").write_text("load,noise\n0.1,0.2\n2.2,0.1\n")
    capsys.readouterr()
    assert cli.main(["run", str(machines / "tags.edge"), "--input", str(machines / "in.csv")]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [set(line["probabilities"]) for line in lines] == [{"busy", "idle", "worn"}] * 2
    with load(machines / "tags.edge").session("numpy") as session:
        found = session.run(run.splits.test[0].x)
    np.testing.assert_allclose(found, work.answers[0], rtol=1e-6, atol=1e-6)
    assert describe(run.spec, found[0])["label"] == run.spec.answer.classes[found[0].argmax()]


def test_a_look_inside_names_its_only_accuracy(run: Run) -> None:
    found = measure_channels(run)
    assert found is not None
    assert found.sentences()[0].startswith(
        f"The accuracy over all steps is {run.metrics['test']['accuracy']:.4g}; it falls without"
    )


def test_it_is_exported_as_c(run: Run, machines: Path) -> None:
    export_c(run.path, machines / "c", scheme="float32")
    source = (machines / "c/src/model.c").read_text()
    assert "a streaming tagger, 2 channels in, 3 values out" in source
    assert " * classes       busy, idle, worn" in source


@pytest.mark.parametrize("wrong", [-1, 1.5, True, "5"])
def test_a_wrong_tolerance_in_a_bundle_is_refused(wrong: object) -> None:
    with pytest.raises(
        BundleError, match=r"tolerance is .*, expected a whole number of at least 0"
    ):
        Tag(("a", "b"), wrong)  # type: ignore[arg-type]


def test_it_is_compared(config: Config, machines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_lstm.compare.rows.MEASURED", 0.0)
    short = config.model_copy(update={"train": config.train.model_copy(update={"epochs": 1})})
    found = compare(short, machines / "compared", quiet=True)
    rows = {row.name: row for row in found.rows}
    assert list(rows) == [*PEERS, "majority", "threshold", "logistic"]
    splits = load_data(config)
    spec = make_spec(config, splits)
    baselines = task_named("tag").baselines(spec, splits.train, splits.test)
    for name, own in baselines.items():
        metrics = rows[name].metrics
        assert metrics is not None
        assert metrics["accuracy"] == pytest.approx(own["accuracy"], rel=1e-12)
        assert "verdict" not in metrics
        assert own["words"] in rows[name].note
    assert "| event F1 |" in found.markdown
