"""`edge-lstm compare`: the rows against independent computations, and what is kept between runs."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
import pytest
import threadpoolctl
import torch

from edge_lstm import load_data, train
from edge_lstm.compare import Row, boosting, compare, comparison, recurrent
from edge_lstm.compare.classifiers import logistic, nearest, statistics
from edge_lstm.compare.forecasts import arima, forecasts, last_value, seasonal
from edge_lstm.compare.lags import Lags
from edge_lstm.compare.problem import Problem
from edge_lstm.compare.rows import Case
from edge_lstm.compare.table import markdown
from edge_lstm.config.schema import Config
from edge_lstm.data.load import make_spec
from edge_lstm.network import CompactNet, canonical_weights
from edge_lstm.results.metrics import evaluate
from edge_lstm.training import loop
from edge_lstm.training.progress import Reporter
from edge_lstm_runtime import cli
from edge_lstm_runtime.errors import ConfigError, TrainingError
from helpers.configs import CLASSIFY, FORECAST
from helpers.specs import PEERS, plain_spec

Configure = Callable[..., Config]


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_lstm.compare.rows.MEASURED", 0.0)
    monkeypatch.setattr("edge_lstm.compare.forecasts.ORDERS", ((0, 1, 1), (2, 1, 1)))


def make_case(config: Config, tmp_path: Path) -> Case:
    splits = load_data(config)
    return Case(config, make_spec(config, splits), splits, tmp_path, Reporter(quiet=True))


@pytest.mark.usefixtures("forecast_csv")
def test_rows_are_made_with_one_thread(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fits of scikit-learn and NumPy too, beside the epochs of a training."""
    found = []

    def look(case: Case) -> Row:
        libraries = threadpoolctl.threadpool_info()
        found.append({torch.get_num_threads(), *(each["num_threads"] for each in libraries)})
        return dataclasses.replace(last_value(case), name="look", parameters=1)

    monkeypatch.setattr(comparison, "_rows", lambda task: {"look": look})  # noqa: ARG005
    torch.set_num_threads(3)
    compare(configure(FORECAST), tmp_path / "compared", quiet=True)
    assert found == [{1}]
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("forecast_csv")
def test_trees_are_fitted_with_one_thread(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their OpenMP may be loaded after the comparison has begun."""
    from sklearn.ensemble import HistGradientBoostingRegressor as Trees

    found = []
    fit = Trees.fit

    def look(trees: Trees, *given: Any, **named: Any) -> Trees:
        libraries = threadpoolctl.threadpool_info()
        found.append({each["num_threads"] for each in libraries})
        return fit(trees, *given, **named)

    monkeypatch.setattr(Trees, "fit", look)
    monkeypatch.setattr(boosting, "MAX_TREES", 3)
    case = make_case(configure(FORECAST, train__refit=True), tmp_path)
    with threadpoolctl.threadpool_limits(3):
        boosting._fitted(Problem(case), Lags(4, (5,), features=True), 0)
    assert found == [{1}, {1}]


# --- the recurrent nets ---


@pytest.mark.parametrize("layers", [1, 2])
def test_the_lstm_against_its_equations(layers: int) -> None:
    """In float64, step by step, from the canonical weights."""
    torch.manual_seed(layers)
    model = CompactNet(plain_spec(layers, 10))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-0.5, 0.5)
    w = {name: array.astype(float) for name, array in canonical_weights(model).items()}
    xs = np.random.default_rng(layers).normal(size=(30, 3))
    h, c = np.zeros((2, layers, 10))
    expected = []
    for x in xs:
        for k in range(layers):
            a = x @ w[f"lstm{k}.W_x"] + h[k] @ w[f"lstm{k}.W_h"] + w[f"lstm{k}.b"]
            i, f, g, o = a.reshape(4, 10)
            c[k] = c[k] / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
            h[k] = np.tanh(c[k]) / (1 + np.exp(-o))
            x = h[k]
        expected.append(x @ w["head.W"] + w["head.b"])
    with torch.no_grad():
        whole = model(torch.from_numpy(xs).float()[None])[0][0].numpy()
        first, state = model(torch.from_numpy(xs[:13]).float()[None])
        second, _ = model(torch.from_numpy(xs[13:]).float()[None], state)
    np.testing.assert_allclose(whole, expected, atol=1e-6)
    np.testing.assert_allclose(torch.cat([first, second], dim=1)[0], expected, atol=1e-6)


@pytest.mark.usefixtures("classify_csv")
def test_a_step_is_measured_on_the_fastest_backend(configure: Configure, tmp_path: Path) -> None:
    case = make_case(configure(CLASSIFY), tmp_path)
    weights = canonical_weights(CompactNet(case.spec))
    duration, how = recurrent._deployed_step(case.spec, weights, case)
    assert duration > 0
    assert how == "native kernel, single step"
    *inner, head = case.spec.network.layers
    layers = (*inner, dataclasses.replace(head, inputs=("lstm0",) * 5))
    network = dataclasses.replace(case.spec.network, layers=layers)
    spec = dataclasses.replace(case.spec, network=network)  # a layer in C reads up to 4 others
    weights = canonical_weights(CompactNet(spec))
    assert recurrent._deployed_step(spec, weights, case)[1] == "NumPy, single step"


# --- forecasts ---


@pytest.mark.usefixtures("forecast_csv")
def test_naive_rows_are_the_baselines_of_evaluate(configure: Configure, tmp_path: Path) -> None:
    config = configure(FORECAST, ('targets = ["b"]', 'targets = ["b", "a"]'), data__season=10)
    case = make_case(config, tmp_path)
    of_zeros = evaluate(
        case.spec, case.splits.test, [np.zeros((len(s.x), 6)) for s in case.splits.test], season=10
    )
    for row in (last_value(case), seasonal(case)):
        assert row.metrics is not None
        kept = ("mae", "rmse", "nrmse", "per_target", "per_step")
        assert {k: row.metrics[k] for k in kept} == of_zeros["baselines"][row.name]
        assert row.metrics["steps"] == of_zeros["steps"]


@pytest.mark.usefixtures("forecast_csv")
def test_a_season_that_is_unknown_or_too_long_is_skipped_with_the_reason(
    configure: Configure, tmp_path: Path
) -> None:
    for season, reason in (
        (None, "no `season`"),
        (
            40,
            "no step of the test split has known values both ahead and a season (40 steps) before",
        ),
        # The test split has 40 steps: one is a season after the start, and has 2 known ones ahead.
        (
            37,
            "no step of the test split has known values both ahead and a season (37 steps) before",
        ),
    ):
        row = seasonal(
            make_case(
                configure(FORECAST, **({} if season is None else {"data__season": season})),
                tmp_path,
            )
        )
        assert row.metrics is None
        assert reason in row.note


@pytest.mark.parametrize("order", [(1, 1, 1), (2, 1, 2)])
def test_arima_in_one_pass_is_append_and_forecast_at_each_step(order: tuple[int, int, int]) -> None:
    from statsmodels.tsa.arima.model import ARIMA

    rng = np.random.default_rng(0)
    series = np.cumsum(rng.normal(size=160)) + np.sin(np.arange(160))
    result = ARIMA(series[:100], order=order).smooth(
        [0.3, 0.4, 1.0] if order == (1, 1, 1) else [0.3, -0.2, 0.4, 0.1, 1.0]
    )
    test = series[100:].copy()
    test[20:23] = np.nan
    ahead = forecasts(result, test, (1, 2, 3, 4))
    for t in (5, 19, 22, 30, 59):
        np.testing.assert_allclose(ahead[t], result.apply(test[: t + 1]).forecast(4), atol=1e-10)


@pytest.mark.usefixtures("forecast_csv")
def test_arima_finds_a_wave_and_is_seeded(configure: Configure, tmp_path: Path) -> None:
    case = make_case(configure(FORECAST), tmp_path)
    row = arima(case)
    began = time.perf_counter()
    again = arima(case)
    whole = time.perf_counter() - began
    assert again.seconds is not None
    assert again.us_per_step is not None
    assert 0 < again.seconds < whole
    steps = sum(len(s.x) for s in case.splits.test)
    assert 0 < 1e-6 * steps * again.us_per_step < whole - again.seconds
    naive = last_value(case)
    assert row.metrics is not None
    assert naive.metrics is not None
    assert again.metrics == row.metrics
    assert row.metrics["rmse"] < 0.5 * naive.metrics["rmse"]
    assert row.parameters == sum(int(n) for n in row.title[6:-1].split(",")) - 1  # p + q, d being 1


# --- classifiers ---


@pytest.mark.usefixtures("classify_csv")
def test_classifiers_tell_walking_from_resting(configure: Configure, tmp_path: Path) -> None:
    """The two differ by 4 standard deviations in both channels, in sequences of unequal length."""
    case = make_case(configure(CLASSIFY), tmp_path)
    for row in (logistic(case), nearest(case)):
        assert row.metrics is not None
        assert row.metrics["accuracy"] == row.metrics["macro_f1"] == 1
        assert row.metrics["accuracy_all_steps"] is None


@pytest.mark.usefixtures("classify_csv")
def test_with_refit_every_row_learns_from_the_validation_split_too(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned: list[tuple[str, int]] = []
    whole = loop.Training.run

    def run(self: loop.Training) -> None:
        learned.append((self.net.network.layers[0].type, self._batches.sequences))
        whole(self)

    monkeypatch.setattr(loop.Training, "run", run)
    case = make_case(configure(CLASSIFY, train__refit=True), tmp_path)
    fewer = len(case.splits.train)
    all_of_them = len(case.splits.train + case.splits.val)
    for kind in PEERS:
        assert resolve_name(comparison.RECURRENT[kind])(case).metrics is not None
    assert learned == [(kind, count) for kind in PEERS for count in (fewer, all_of_them)]
    assert len(case.learned) == all_of_them
    assert len(make_case(configure(CLASSIFY), tmp_path).learned) == fewer


@pytest.mark.usefixtures("classify_csv")
def test_statistics_of_a_line(configure: Configure, tmp_path: Path) -> None:
    case = make_case(configure(CLASSIFY), tmp_path)
    sequence = case.splits.test[0]
    mean = np.array(case.spec.inputs.mean)
    std = np.array(case.spec.inputs.std)
    line = np.arange(5)[:, None] * [1.0, -2.0]  # normalized
    found = statistics(case, type(sequence)("line", "", mean + std * line, 0))
    np.testing.assert_allclose(
        found, [2, -4, math.sqrt(2), 2 * math.sqrt(2), 0, -8, 4, 0, 1, -2], atol=1e-12
    )


@pytest.mark.usefixtures("classify_csv")
def test_dtw_that_takes_too_long_is_skipped(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_lstm.compare.classifiers.MAX_CELLS", 100)
    row = nearest(make_case(configure(CLASSIFY), tmp_path))
    assert row.metrics is None
    assert "it would take too long" in row.note


# --- the whole table ---


@pytest.mark.usefixtures("forecast_csv")
def test_arima_of_listed_steps_and_quantiles_is_arima_of_all_steps(
    configure: Configure, tmp_path: Path
) -> None:
    every = arima(make_case(configure(FORECAST, ("horizon = 3", "horizon = 4")), tmp_path))
    keys = "horizon = [1, 4]\nquantiles = [0.1, 0.5, 0.9]"
    case = make_case(configure(FORECAST, ("horizon = 3", keys)), tmp_path)
    listed = arima(case)
    assert every.metrics is not None
    assert listed.metrics is not None
    assert listed.title == every.title
    for step, place in zip(listed.metrics["per_step"], (0, 3), strict=True):
        expected = every.metrics["per_step"][place]
        assert step["ahead"] == expected["ahead"]
        assert step["mae"] == pytest.approx(expected["mae"])
        assert (step["pinball"], step["coverage"]) == (None, {})  # a point has no interval


@pytest.mark.usefixtures("forecast_csv")
def test_a_table_of_quantiles_has_a_column_for_each_step_ahead(
    configure: Configure, tmp_path: Path
) -> None:
    keys = "horizon = [1, 12]\nquantiles = [0.1, 0.5, 0.9]"
    config = configure(FORECAST, ("horizon = 3", keys), data__season=10)
    found = compare(config, tmp_path / "compared", quiet=True)
    columns = [cell.strip() for cell in found.markdown.splitlines()[0].split("|")]
    for title in ("MAE, b+1", "MAE, b+12", "RMSE, b+1", "RMSE, b+12", "pinball loss, b+12"):
        assert title in columns
    rows = {row.name: row.metrics for row in found.rows}
    assert all(metrics is not None for metrics in rows.values())
    run = train(config, tmp_path / "run", quiet=True)
    assert rows["lstm"]["coverage"] == run.metrics["test"]["coverage"]
    # Those of the other networks are set on the validation split too.
    assert 0.4 < rows["gru"]["coverage"]["0.8"] < 1


@pytest.mark.usefixtures("forecast_csv")
def test_forecast_table_and_resume(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure(FORECAST, data__season=10)
    out = tmp_path / "compared"
    found = compare(config, out, quiet=True)
    fitted = ["ridge", "ridge-seasonal", "nlinear", "dlinear", "boosting"]
    assert [row.name for row in found.rows] == [*PEERS, "naive", "seasonal", "arima", *fitted]
    for row in found.rows:
        assert row.metrics is not None
        assert row.bytes == 4 * (row.parameters or 0)
        assert row.us_per_step is not None
        assert row.us_per_step > 0
        assert row.measured
        assert row.seconds is not None
    assert len({row.metrics["steps"] for row in found.rows if row.metrics}) == 1
    run = train(config, tmp_path / "run", quiet=True)
    assert found.rows[0].metrics is not None
    # seeded: the same as `edge-lstm train`
    assert found.rows[0].metrics["rmse"] == run.metrics["test"]["rmse"]
    assert (out / "compare.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "compare.md").read_text() == found.markdown
    assert [
        Row.from_dict(row) for row in json.loads((out / "compare.json").read_text())["rows"]
    ] == list(found.rows)

    with pytest.raises(TrainingError, match="holds a comparison already"):
        compare(config, out, quiet=True)
    with pytest.raises(TrainingError, match=r"train\.epochs was 2 and is 3"):
        compare(configure(FORECAST, data__season=10, train__epochs=3), out, resume=True, quiet=True)
    # One row is lost. Only that is made again, to the same figures.
    (out / "rows" / "naive.json").unlink()
    monkeypatch.setattr("edge_lstm.compare.forecasts.arima", None)  # it can't be made again
    monkeypatch.setattr("edge_lstm.compare.recurrent.lstm", None)
    again = compare(configure(FORECAST, data__season=10), out, resume=True, quiet=True)
    lost = len(PEERS)
    assert again.rows[lost].metrics == found.rows[lost].metrics
    assert again.rows[:lost] == found.rows[:lost]
    assert again.rows[lost + 1 :] == found.rows[lost + 1 :]


@pytest.mark.usefixtures("classify_csv")
def test_classify_table_on_the_command_line(
    configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(CLASSIFY)
    code = cli.main(
        [
            "compare",
            str(tmp_path / "config.toml"),
            "-o",
            str(tmp_path / "out"),
            "--set",
            "train.epochs=1",
        ]
    )
    printed = capsys.readouterr()
    assert code == 0
    titles = {"lstm": "LSTM", "gru": "GRU", "rnn": "plain RNN (tanh)"}
    for title in (*(titles[kind] for kind in PEERS), "logistic regression", "1-NN DTW"):
        assert f"\n| {title} " in printed.out
    last = len(PEERS) + 2
    assert f"row {last}/{last}: dtw" in printed.err
    rows = json.loads((tmp_path / "out" / "compare.json").read_text())["rows"]
    assert all(row["metrics"]["sequences"] == 2 for row in rows)


def test_a_skipped_row_is_in_the_table_with_its_note() -> None:
    text = markdown(
        [
            Row("a", "A", {"accuracy": 0.5, "macro_f1": 0.25}, 1234, 0.5, "it", 2.0),
            Row("b", "B", None, note="skipped: why"),
        ]
    )
    assert (
        "| A     |   0.5000 |   0.2500 |      1,234 | 4,936 |       0.500 |        2.00 |" in text
    )
    assert (
        "| B     |        – |        – |          – |     – |           – |           – |" in text
    )
    assert "- B: skipped: why" in text


@pytest.mark.usefixtures("forecast_csv")
def test_errors_say_what_to_do(
    configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=r"devices = 2.*train\.devices=1"):
        compare(configure(FORECAST, train__devices=2, train__strategy="ddp"), tmp_path / "out")
    with pytest.raises(TrainingError, match="no comparison to resume"):
        compare(configure(FORECAST), tmp_path / "out", resume=True)
    assert cli.main(["compare", "--agreement", "-o", "x"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(
        "edge-lstm: error: --agreement: it is no part of the package now: run "
        "benchmarks/long_gap.py -o FOLDER"
    )
    assert error.count("\n") == 1


@pytest.mark.slow
def test_basic_motions_from_the_command_line(tmp_path: Path) -> None:
    config = Path("recipe:activity")
    assert cli.main(["compare", str(config), "-o", str(tmp_path / "out")]) == 0
    rows = {
        row["name"]: row
        for row in json.loads((tmp_path / "out" / "compare.json").read_text())["rows"]
    }
    assert rows["lstm"]["metrics"]["accuracy"] >= 0.9
    assert rows["logistic"]["metrics"]["accuracy"] >= 0.9
    assert all(row["metrics"]["sequences"] == 40 for row in rows.values())
    assert (
        cli.main(
            ["export", str(tmp_path / "out" / "lstm"), "--no-npu", "-o", str(tmp_path / "m.edge")]
        )
        == 0
    )


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "hidden_size = 6",
            'hidden_size = 6\ntype = "gru"',
            "[model] type = 'gru': a comparison trains lstm, gru, rnn, each as a row; "
            "remove the key",
        ),
        (
            "hidden_size = 6",
            'layers = [{ type = "lstm", units = 6 }]',
            "[model] layers: a comparison trains lstm, gru, rnn of one size, one after the other; "
            "give `hidden_size` in place of the layers",
        ),
    ],
)
def test_a_network_of_other_layers_is_refused(
    configure: Configure, tmp_path: Path, old: str, new: str, expected: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        compare(configure(CLASSIFY, (old, new)), tmp_path / "out")
    assert str(refused.value) == expected
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ("prune", "hidden_size = 2"),
        ("distill", "hidden_size = 9"),
        ("quantize", 'scheme = "int8"'),
    ],
)
def test_a_section_that_changes_the_lstm_alone_is_refused(
    configure: Configure, tmp_path: Path, section: str, text: str
) -> None:
    config = configure(CLASSIFY + f"[{section}]\n{text}\n")
    with pytest.raises(ConfigError) as refused:
        compare(config, tmp_path / "out")
    assert str(refused.value) == (
        f"[{section}]: a comparison trains lstm, gru, rnn of one size in one way, and the section "
        "would change a single row; remove it"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("classify_csv")
def test_both_trainings_of_a_refit_count_and_quiet_is_silent(
    configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = make_case(configure(CLASSIFY, train__refit=True), tmp_path)
    row = recurrent.lstm(case)
    assert capsys.readouterr().err == ""
    files = (case.out / "lstm" / "history.csv", case.out / "lstm" / "refit" / "history.csv")
    seconds = 0.0
    for file in files:
        with file.open(newline="") as stream:
            seconds += sum(float(epoch["seconds"]) for epoch in csv.DictReader(stream))
    assert row.seconds == pytest.approx(seconds)
    other = recurrent.gru(case)
    assert other.parameters is not None
    assert capsys.readouterr().err == ""
