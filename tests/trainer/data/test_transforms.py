"""[[data.transforms]], [data.calendar] and `drop`: what is derived, and from which rows."""

from __future__ import annotations

import datetime
import json
import zoneinfo
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_lstm import Config, load_config, load_data, train
from edge_lstm.data.calendars import holiday_table, zone_table
from edge_lstm.data.load import make_spec
from edge_lstm.data.windows import last_values, logarithmic
from edge_lstm.results.answers import answers
from edge_lstm.tasks.base import task_of
from edge_lstm_runtime.backends.numpy import NumpyBackend
from edge_lstm_runtime.errors import ConfigError, DataError
from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.inputs.transforms import Calendar, Clip, Compared, Log
from edge_lstm_runtime.session import Session

Configure = Callable[..., Config]

HEAD = """
[data]
source = "csv"
path = "data.csv"
time = "when"
channels = ["users", "warmth"]
drop = ["users"]
"""
TABLES = """
[[data.transforms]]
type = "log"
channels = ["users"]

[[data.transforms]]
type = "clip"
quantiles = [0.05, 0.95]

[[data.transforms]]
type = "difference"
channels = ["users"]
lag = [1, 24]

[[data.transforms]]
type = "distance"
steps = 24

[[data.transforms]]
type = "distance"
channels = ["warmth"]
seconds = [7200]

[data.calendar]
zone = "America/New_York"
holidays = "US"
ahead = [0, 3600]
"""
REST = """
[data.split]
by = "time"
val = 0.2
test = 0.2

[model]
task = "forecast"
targets = ["users"]
horizon = 2
hidden_size = 6
residual = true

[train]
epochs = 2
learning_rate = 0.01
accelerator = "cpu"
"""
ALL = HEAD + TABLES + REST
START = datetime.datetime(2011, 3, 10, tzinfo=datetime.timezone.utc)
STEPS = 400


def rows(steps: int = STEPS) -> tuple[list[str], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    when = [f"{START + datetime.timedelta(hours=k):%Y-%m-%d %H:%M}" for k in range(steps)]
    daily = np.sin(2 * np.pi * np.arange(steps) / 24)
    users = np.round(np.exp(3 + daily + 0.2 * rng.normal(size=steps)))
    users[5] = 0
    return when, users, 10 + 5 * daily + rng.normal(size=steps)


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    write(tmp_path / "data.csv", *rows())
    return tmp_path / "data.csv"


def write(path: Path, when: list[str], users: np.ndarray, warmth: np.ndarray) -> None:
    lines = [f"{w},{u:g},{t:.6f}" for w, u, t in zip(when, users, warmth, strict=True)]
    path.write_text("when,users,warmth\n" + "\n".join(lines) + "\n")


@pytest.mark.usefixtures("csv")
def test_every_number_is_of_the_training_split(configure: Configure) -> None:
    config = configure(ALL)
    splits = load_data(config)
    assert splits.channels == ("users", "warmth", "when")
    assert splits.train[0].x[3, 2] == START.timestamp() + 3 * 3600
    spec = make_spec(config, splits)
    inputs = spec.inputs
    assert isinstance(inputs, Channels)
    assert inputs.feature_names == (
        *("warmth", "users-users[1]", "users-users[24]", "users-mean[24]", "warmth-mean[24]"),
        "warmth-mean[7200s]",
        *("hour.sin", "hour.cos", "weekday.sin", "weekday.cos", "yearday.sin", "yearday.cos"),
        "holiday",
        *("hour.sin+3600s", "hour.cos+3600s", "weekday.sin+3600s", "weekday.cos+3600s"),
        *("yearday.sin+3600s", "yearday.cos+3600s", "holiday+3600s"),
    )
    count = STEPS - 80 - 80
    _, users, warmth = rows()
    unit = np.median(users[:count][users[:count] > 0])
    log, clip, *_ = inputs.transforms
    assert isinstance(log, Log)
    assert log.units == (unit,)
    scaled = np.log(1 + users[:count] / unit)
    assert isinstance(clip, Clip)
    assert clip.low[0] == pytest.approx(np.quantile(scaled, 0.05))
    assert clip.high[1] == pytest.approx(np.quantile(warmth[:count].round(6), 0.95))
    clipped = np.clip(scaled, clip.low[0], clip.high[0])
    assert inputs.mean[0] == pytest.approx(clipped.mean())
    assert inputs.std[0] == pytest.approx(clipped.std())
    change = np.concatenate([[0], np.diff(clipped)])
    first = next(t for t in inputs.transforms if isinstance(t, Compared))
    assert (first.mean[0], first.std[0]) == pytest.approx((change.mean(), change.std()))
    features = inputs.features(splits.train[0].x)[0][:, :6]
    np.testing.assert_allclose(features.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(features.std(axis=0), 1, atol=1e-9)
    assert spec.answer.targets == ("users",)


@pytest.mark.usefixtures("csv")
def test_it_learns_on_the_log_scale_and_answers_in_raw_units(configure: Configure) -> None:
    config = configure(ALL)
    splits = load_data(config)
    spec = make_spec(config, splits)
    task = task_of(spec)
    assert logarithmic(spec)
    (log,) = [t for t in spec.inputs.transforms if isinstance(t, Log)]
    x = splits.train[0].x
    truth = np.log1p(x[1:, 0] / log.units[0])
    now = np.log1p(x[:-1, 0] / log.units[0])
    outputs = task.outputs(spec, splits.train[0])
    learned = outputs[:-1, 0] * spec.answer.scale[0] + spec.answer.offset[0]
    np.testing.assert_allclose(learned, truth - now, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(last_values(spec, x)[:, 0], x[:, 0], rtol=1e-12, atol=1e-12)
    # The right outputs become the right answers.
    session_like = np.nan_to_num(outputs[:-2])
    from edge_lstm_runtime.session import answers as scaled

    found = scaled(spec.answer.scaling(spec.inputs), session_like, spec.inputs.features(x)[1][:-2])
    np.testing.assert_allclose(found[:, 0], x[1:-1, 0], rtol=1e-9, atol=1e-9)


@pytest.mark.usefixtures("csv")
def test_a_session_gives_the_trainers_answers(configure: Configure, tmp_path: Path) -> None:
    run = train(configure(ALL), tmp_path / "run", quiet=True)
    test = run.splits.test
    found = Session(run.spec, NumpyBackend(run.spec, run.weights)).run(test[0].x)
    np.testing.assert_allclose(found, answers(run.model, test)[0], rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("csv")
def test_the_same_file_is_written_back(configure: Configure, tmp_path: Path) -> None:
    config = configure(ALL)
    again = tmp_path / "again" / "c.toml"
    again.parent.mkdir()
    again.write_text(config.to_toml())
    written = load_config(again)
    assert written.to_dict()["data"].pop("path") == str(tmp_path / "data.csv")
    assert written.data.derivation == config.data.derivation
    assert written.data.model_copy(update={"path": "data.csv"}) == config.data
    assert Config.from_dict(json.loads(json.dumps(config.to_dict())), config.folder) == config


def test_dt_and_a_calendar_are_made_of_one_column(csv: Path, configure: Configure) -> None:
    config = configure(ALL, ('time = "when"', 'time = "when"\ndt = true'))
    splits = load_data(config)
    assert splits.channels == ("users", "warmth", "when", "dt")
    inputs = make_spec(config, splits).inputs
    assert isinstance(inputs, Channels)
    assert (inputs.clock, inputs.dt, inputs.time) == ("when", "dt", "when")
    # The running mean takes dt, and without a calendar the times are no channel.
    alone = configure(
        ALL,
        ('time = "when"', 'time = "when"\ndt = true'),
        (TABLES[TABLES.index("[data.calendar]") :], ""),
    )
    assert load_data(alone).channels == ("users", "warmth", "dt")
    recording = alone.data.read_alone(csv, ("users", "warmth", "dt"))
    assert recording is not None
    assert recording.x[1].tolist()[2:] == [3600.0]


def test_known_anomalies_count_nowhere(csv: Path, configure: Configure) -> None:
    when, users, warmth = rows()
    (csv.parent / "known.json").write_text(json.dumps({"data.csv": [[when[20], when[60]]]}))
    marked = 'known_anomalies = "known.json"\n'
    changes = (
        ('task = "forecast"', 'task = "anomaly"'),
        ('drop = ["users"]\n', f'drop = ["users"]\n{marked}'),
    )
    config = configure(ALL, *changes)
    before = make_spec(config, load_data(config)).inputs
    warmth[30:50] = 1e4
    write(csv, when, users, warmth)
    inputs = make_spec(config, load_data(config)).inputs
    assert isinstance(inputs, Channels)
    assert isinstance(before, Channels)
    assert inputs.mean[1] == before.mean[1]
    limits = [t for t in inputs.transforms if isinstance(t, Clip)]
    assert limits == [t for t in before.transforms if isinstance(t, Clip)]
    assert limits[0].high[1] < 30


WITHOUT = (TABLES, "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[data.transforms]]\ntype = "root"\n', r"transforms: table 1: type: expected 'log'"),
        ('[[data.transforms]]\ntype = "log"\nlags = 3\n', r"table 1: lags: .*no such key"),
        ("[[data.transforms]]\nlag = 3\n", "table 1: type: is missing"),
        ('[[data.transforms]]\ntype = "log"\nlag = 3\n', "`lag` is not for type 'log'"),
        (
            '[[data.transforms]]\ntype = "clip"\n[[data.transforms]]\ntype = "distance"\n',
            "table 2: type 'distance' needs either",
        ),
        ('[[data.transforms]]\ntype = "log"\nchannels = ["user"]\n', "'user' is not"),
        ('[[data.transforms]]\ntype = "clip"\nquantiles = [0.9, 0.1]\n', "the lower one first"),
        (2 * '[[data.transforms]]\ntype = "log"\n', "one 'log' at most"),
        ('[[data.transforms]]\ntype = "difference"\nlag = 0\n', "table 1: lag"),
        ('[data.calendar]\nzone = "Mars/Olympus"\n', r"zone = .*time zone 'Mars/Olympus' is unk"),
        ('[data.calendar]\nholidays = "XX"\n', r"\[data.calendar\] holidays = .*'XX' are unknown"),
        ('[data.calendar]\nparts = ["holiday"]\n', "holidays: expected a country"),
        ('[data.calendar]\nparts = ["hour"]\nholidays = "US"\n', "has no meaning without"),
        ('[data.calendar]\nparts = ["moon"]\n', r"\[data.calendar\] parts"),
        ("[data.calendar]\nahed = [0]\n", "did you mean 'ahead'"),
    ],
)
def test_a_wrong_table_is_one_line(
    csv: Path, configure: Configure, text: str, message: str
) -> None:
    assert csv.exists()
    with pytest.raises(ConfigError, match=message) as caught:
        configure(ALL, (TABLES, text))
    assert len(str(caught.value).splitlines()) == 1


def test_what_is_dropped_and_what_has_no_time(configure: Configure) -> None:
    with pytest.raises(
        ConfigError, match=r"'users' is dropped in .data.: the answer couldn't know"
    ):
        configure(ALL, ("residual = true", "residual = false"))
    with pytest.raises(ConfigError, match=r"drop = .*'user' is not"):
        configure(ALL, ('drop = ["users"]', 'drop = ["user"]'))
    everything = ('drop = ["users"]', 'drop = ["users", "warmth"]')
    with pytest.raises(ConfigError, match="left as an input"):
        configure(ALL, everything, WITHOUT)
    timeless = ('time = "when"\n', "")
    with pytest.raises(ConfigError, match=r"from which \[data.calendar\] is made"):
        configure(ALL, timeless)
    calendar = TABLES[TABLES.index("[data.calendar]") :]
    with pytest.raises(ConfigError, match=r"time: .*for the `seconds`"):
        configure(ALL, timeless, (calendar, ""))
    with pytest.raises(ConfigError, match="expected no 'when', the `time`"):
        configure(ALL, ('["users", "warmth"]', '["users", "warmth", "when"]'))


def test_data_that_doesnt_go_with_its_transforms(csv: Path, configure: Configure) -> None:
    when, users, warmth = rows()
    config = configure(ALL)
    users[390] = -1
    write(csv, when, users, warmth)
    with pytest.raises(DataError, match=r"'users' is -1 at step 70, and .data. asks for its log"):
        make_spec(config, load_data(config))
    users[390] = 1
    for times, problem in (
        (range(STEPS), r"'when' holds .*can't date; expected datetimes"),
        ([1.3e12 + k for k in range(STEPS)], r"'when', row 1: .* set time_unit = 'ms'"),
    ):
        write(csv, [str(t) for t in times], users, warmth)
        with pytest.raises(DataError, match=problem):
            load_data(config)
    seconds = [START.timestamp() + 3600 * k for k in range(STEPS)]
    write(csv, [str(s) for s in seconds], users, warmth)
    assert load_data(config).train[0].x[:, 2].tolist() == seconds[:240]
    with pytest.raises(DataError, match=r"lag = 240, and training sequence .* has 240 steps"):
        make_spec(configure(ALL, ("[1, 24]", "240")), load_data(config))


# --- tables ---


@pytest.mark.parametrize("name", ["America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
def test_a_zones_table_gives_the_offset_of_any_moment(name: str) -> None:
    zone = zoneinfo.ZoneInfo(name)
    table = zone_table(name, range(2010, 2015))
    at = datetime.datetime(2010, 1, 1, tzinfo=datetime.timezone.utc).timestamp()
    rng = np.random.default_rng(0)
    edges = [second + shift for second, _ in table[1:] for shift in (-1, 0, 1)]
    for moment in (*edges, *(at + rng.uniform(0, 5 * 365 * 86400, 300))):
        known = [offset for second, offset in table if second <= moment][-1]
        offset = datetime.datetime.fromtimestamp(moment, zone).utcoffset()
        assert offset == datetime.timedelta(seconds=known)


def test_utc_has_no_table_and_holidays_are_days() -> None:
    assert zone_table("UTC", range(2010, 2015)) == ()
    days = holiday_table("US", range(2011, 2013))
    epoch = datetime.date(1970, 1, 1)
    dates = {epoch + datetime.timedelta(days=day) for day in days}
    assert {datetime.date(2011, 7, 4), datetime.date(2012, 11, 22)} <= dates
    assert datetime.date(2011, 7, 5) not in dates
    assert list(days) == sorted(days)
    chavez = (datetime.date(2011, 3, 31) - epoch).days  # of California alone
    assert chavez not in days
    assert chavez in holiday_table("US-CA", range(2011, 2013))


@pytest.mark.usefixtures("csv")
def test_the_tables_end_thirty_years_after_the_data(configure: Configure) -> None:
    config = configure(ALL)
    inputs = make_spec(config, load_data(config)).inputs
    assert isinstance(inputs, Channels)
    (calendar,) = [t for t in inputs.transforms if isinstance(t, Calendar)]
    for day in (calendar.holidays[-1], calendar.zone[-1][0] // 86400):
        last = datetime.date(1970, 1, 1) + datetime.timedelta(days=day)
        assert last.year == 2042  # one more than 2011 + 30: local years begin at another moment
