"""Sections that hang on the source and the task: every wrong value, and old names."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from edge_lstm import load_config, load_run, train
from edge_lstm.compare.comparison import same_plan
from edge_lstm.config.common import SplitConfig
from edge_lstm.config.renamed import RENAMED
from edge_lstm.config.schema import OPTIONAL, Config
from edge_lstm.data.sources import SOURCES
from edge_lstm.recipes import FOLDER
from edge_lstm.tasks import TASKS
from edge_lstm_runtime.errors import ConfigError, TrainingError
from edge_lstm_runtime.layers import recurrent_types
from helpers.configs import FORECAST

Configure = Callable[..., Config]
ROOT = Path(__file__).parents[3]


# --- every key of every section ---


BY_TIME = '[data.split]\nby = "time"\n'
CLASSES = '[model]\ntask = "classify"\nhidden_size = 8\n'
AHEAD = '[model]\ntask = "forecast"\nhidden_size = 8\nhorizon = 2\n'
TRAIN = "[train]\nepochs = 1\n"
OTHERS = "".join(f"[{name}]\n" for name in ("augment", "distill", "prune", "quantize"))
TABLE = 'path = "d"\nchannels = ["a", "b"]\nlabel = "l"\n'
BASES = {
    "csv": f'[data]\nsource = "csv"\n{TABLE}{BY_TIME}{CLASSES}{TRAIN}',
    "calendar": f'[data]\nsource = "csv"\n{TABLE}time = "t"\n[data.calendar]\n{BY_TIME}{CLASSES}'
    f"{TRAIN}",
    "parquet": f'[data]\nsource = "parquet"\n{TABLE}{BY_TIME}{CLASSES}{TRAIN}',
    "ts": f'[data]\nsource = "ts"\npath = "d.ts"\n{BY_TIME}{CLASSES}{TRAIN}',
    "npz": f'[data]\nsource = "npz"\npath = "d.npz"\n{BY_TIME}{CLASSES}{TRAIN}',
    "aeon": f'[data]\nsource = "aeon"\nname = "BasicMotions"\n{BY_TIME}{CLASSES}{TRAIN}',
    "cmapss": '[data]\nsource = "cmapss"\ntrain_path = "a"\ntest_path = "b"\nrul = "c"\n'
    'channels = ["sensor_2"]\n[data.split]\nby = "given"\n'
    f'[model]\ntask = "regress"\nhidden_size = 8\ntargets = ["life"]\n{TRAIN}',
    "wav": '[data]\nsource = "wav"\npath = "d"\npattern = "(?P<label>.).*"\n'
    '[data.split]\nby = "group"\n'
    f"[front_end]\nsample_rate = 8000\nframe_length = 256\nhop_length = 128\n{CLASSES}{TRAIN}",
    "text": f'[data]\nsource = "text"\npath = "d.txt"\nwindow = 9\n{BY_TIME}'
    f'[model]\ntask = "language"\nhidden_size = 8\n{TRAIN}',
    "forecast": f'[data]\nsource = "npz"\npath = "d.npz"\n{BY_TIME}{AHEAD}{TRAIN}',
    "anomaly": f'[data]\nsource = "csv"\n{TABLE}{BY_TIME}'
    f"{AHEAD.replace('forecast', 'anomaly')}{TRAIN}",
    "tag": f'[data]\nsource = "csv"\n{TABLE}{BY_TIME}{CLASSES.replace("classify", "tag")}{TRAIN}',
    "small": f'[data]\nsource = "npz"\npath = "d.npz"\n{BY_TIME}{CLASSES}{TRAIN}'
    "[augment]\n[distill]\nhidden_size = 9\n[prune]\nhidden_size = 4\n[quantize]\n"
    'scheme = "int8"\n',
}

TEXT = st.text(max_size=9)
WHOLE = st.integers(-(2**40), 2**40)
BROKEN = st.floats()
FLAG = st.booleans()
TABLES = st.just({"a": 1})
MOMENTS = st.datetimes()
LISTS = st.lists(st.integers(0, 9), max_size=3)
OTHER = MOMENTS | TABLES  # what no key can be


def but(*words: str) -> SearchStrategy[str]:
    return TEXT.filter(lambda text: text not in words)


WRONG: dict[str, SearchStrategy[object]] = {
    "a text": WHOLE | BROKEN | FLAG | LISTS,
    "a count": st.integers(max_value=0) | BROKEN | TEXT | FLAG | LISTS,
    "a whole number from 0": st.integers(max_value=-1) | BROKEN | TEXT | FLAG | LISTS,
    "above 0": st.floats(max_value=0)
    | st.just(float("nan"))
    | st.just(float("inf"))
    | TEXT
    | FLAG
    | LISTS,
    "from 0": st.floats(max_value=-1e-9)
    | st.just(float("nan"))
    | st.just(float("inf"))
    | TEXT
    | FLAG
    | LISTS,
    "finite": st.just(float("nan")) | st.just(float("inf")) | TEXT | FLAG | LISTS,
    "between 0 and 1": st.floats(max_value=0) | st.floats(min_value=1) | TEXT | FLAG | LISTS,
    "from 0, below 1": st.floats(max_value=-1e-9) | st.floats(min_value=1) | TEXT | FLAG | LISTS,
    "from 0 to 1": st.floats(max_value=-1e-9) | st.floats(min_value=1.001) | TEXT | FLAG | LISTS,
    "above 0, to 1": st.floats(max_value=0) | st.floats(min_value=1.001) | TEXT | FLAG | LISTS,
    "a flag": WHOLE | BROKEN | TEXT | LISTS,
    "a flag or a name": WHOLE | BROKEN | st.just("") | LISTS,
    "names": WHOLE | BROKEN | FLAG | TEXT | LISTS,
    "counts": WHOLE | BROKEN | FLAG | TEXT | st.sampled_from([[], [0], [1, -1], [1.5], ["1"]]),
    "a part": st.floats(max_value=0)
    | st.floats(min_value=1)
    | TEXT
    | FLAG
    | st.just([])
    | st.just([1.5]),
    "groups": WHOLE | BROKEN | FLAG | TEXT | st.just([]) | st.just([1.5]),
    "a character": WHOLE | FLAG | LISTS | st.just("") | st.text(min_size=2, max_size=9),
    "some characters": WHOLE | FLAG | LISTS | st.just(""),
    "numbers": WHOLE | BROKEN | FLAG | TEXT | st.just([]) | st.just(["a"]),
    "tables": WHOLE | BROKEN | FLAG | TEXT | LISTS | st.lists(TABLES, min_size=1, max_size=2),
    "steps ahead": st.integers(max_value=0)
    | BROKEN
    | TEXT
    | FLAG
    | st.sampled_from([[], [0, 1], [2, 1], [1, 1], [1, 2.5]]),
    "fractions": WHOLE
    | BROKEN
    | FLAG
    | TEXT
    | st.lists(st.integers(1, 9), min_size=1)
    | st.sampled_from([[0.1, 0.9], [0.5, 0.1]]),
    "a sign": WHOLE | FLAG | LISTS | st.just(" "),
    "an encoding": WHOLE | FLAG | LISTS | st.sampled_from(["utf-9", "hex", "a\0b"]),
    "an ending": WHOLE | FLAG | LISTS | st.sampled_from(["", "txt", ".", ".a.b", ".a/b", ".a\n/"]),
    "a column or two": WHOLE | FLAG | st.sampled_from([[], ["a"], ["a", "a"], ["a", "b", "c"]]),
    "words": WHOLE | FLAG | TEXT | st.sampled_from([[[]], [{}], ["a", "a"]]),
    "1 to 4": st.integers(max_value=0) | st.integers(min_value=5) | BROKEN | TEXT | FLAG | LISTS,
}
CHOICES = {
    "source": ("csv", "parquet", "ts", "npz", "aeon", "cmapss", "wav", "text"),
    "task": ("classify", "forecast", "regress", "anomaly", "language", "tag"),
    "type": tuple(recurrent_types()),
    "time_back": ("refuse", "keep"),
    "time_unit": ("s", "ms", "us", "ns"),
    "decimal": (".", ","),
    "missing": ("refuse", "ffill", "mask"),
    "normalize": ("standard", "robust"),
    "short": ("refuse", "pad", "drop"),
    "by": ("time", "group", "given"),
    "optimizer": ("adamw", "adam"),
    "monitor": ("loss", "accuracy", "macro_f1", "mae", "rmse", "bits_per_character", "perplexity"),
    "loss": ("mse", "huber"),
    "loss_steps": ("all", "last"),
    "precision": ("fp32", "bf16"),
    "accelerator": ("auto", "cpu", "cuda"),
    "strategy": ("auto", "ddp"),
    "kind": ("log-mel", "mfcc"),
    "scheme": ("int8", "w8a8"),
}
KINDS = {
    "a text": "path train_path test_path rul name label group known_anomalies pattern "
    "test_pattern teacher zone holidays time_format time_zone",
    "a count": "window stride season first hidden_size embedding smoothing epochs "
    "batch_size devices num_nodes sample_rate frame_length hop_length n_fft n_mels n_mfcc steps "
    "threads",
    "a whole number from 0": "seed patience skip_rows",
    "above 0": "learning_rate clip_norm f_max floor temperature",
    "from 0": "weight_decay offset level noise f_min tolerance",
    "finite": "target_cap",
    "between 0 and 1": "false_alarms",
    "from 0, below 1": "dropout warmup label_smoothing mask_steps mask_channels",
    "from 0 to 1": "carry",
    "above 0, to 1": "weight",
    "a flag": "lower bidirectional residual refit cuda_graph stratify",
    "a flag or a name": "dt",
    "names": "channels columns targets drop parts known",
    "numbers": "ahead",
    "counts": "known_ahead",
    "a part": "val test",
    "groups": "train",
    "a character": "separator",
    "some characters": "keep",
    "a sign": "comment",
    "an encoding": "encoding",
    "an ending": "ending",
    "a column or two": "time",
    "words": "missing_values",
    "1 to 4": "num_layers",
    "tables": "layers transforms",
    "steps ahead": "horizon",
    "fractions": "quantiles",
}
WRONG_FOR = {key: WRONG[kind] | OTHER for kind, keys in KINDS.items() for key in keys.split()}
BOUND = WRONG["finite"] | MOMENTS | st.sampled_from([{"a": "high"}, {"a": float("nan")}])
WRONG_FOR |= {"low": BOUND, "high": BOUND}
WRONG_FOR["class_weight"] = (
    but("balanced")
    | WHOLE
    | BROKEN
    | FLAG
    | LISTS
    | MOMENTS
    | st.just({"a": 0})
    | st.just({"a": "b"})
)
WRONG_FOR |= {
    key: but(*words) | WHOLE | BROKEN | FLAG | LISTS | OTHER for key, words in CHOICES.items()
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bases")
    for name, text in BASES.items():
        (folder / f"{name}.toml").write_text(text)
    return {name: folder / f"{name}.toml" for name in BASES}


def keys_of(config: Config) -> list[tuple[str, str]]:
    sections = {
        "data": config.data,
        "data.split": config.data.split,
        "model": config.model,
        "train": config.train,
    }
    if (calendar := getattr(config.data, "calendar", None)) is not None:
        sections["data.calendar"] = calendar
    sections |= {
        name: getattr(config, name) for name in OPTIONAL if getattr(config, name) is not None
    }
    return [
        (name, key)
        for name, section in sections.items()
        for key in type(section).model_fields
        if key not in ("split", "calendar")
    ]


def test_the_bases_have_every_key_of_every_source_and_task(files: dict[str, Path]) -> None:
    configs = [load_config(file) for file in files.values()]
    assert sorted({c.data.source for c in configs}) == sorted(CHOICES["source"]) == SOURCES.names()
    assert sorted({c.model.task for c in configs}) == sorted(CHOICES["task"]) == TASKS.names()
    for name in OPTIONAL:
        assert any(getattr(c, name) is not None for c in configs)
    assert {key for c in configs for _, key in keys_of(c)} == set(WRONG_FOR)


@pytest.mark.parametrize("base", BASES)
@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_a_wrong_value_is_one_line_with_the_key_and_the_value(
    files: dict[str, Path], base: str, data: st.DataObject
) -> None:
    section, key = data.draw(st.sampled_from(keys_of(load_config(files[base]))))
    value = data.draw(WRONG_FOR[key])
    with pytest.raises(ConfigError) as caught:
        load_config(files[base], {f"{section}.{key}": value})
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    tables = isinstance(value, list) and any(isinstance(v, dict) for v in value)
    named = isinstance(value, dict) or tables  # too long to repeat
    text = value if isinstance(value, float) else json.dumps(value, default=str)
    shown = key if named else f"{key} = {text}"
    assert message.startswith(f"--set {section}.{key}: [{section}] {shown}: ")
    assert len(message) > len(f"--set {section}.{key}: [{section}] {shown}: ") + 5


@pytest.mark.parametrize("base", BASES)
def test_a_key_of_another_source_or_task_says_whose_it_is(
    files: dict[str, Path], base: str
) -> None:
    config = load_config(files[base])
    classes = {
        "data": {n: SOURCES.load(n).Section for n in SOURCES.names()},
        "model": {n: TASKS.load(n).Section for n in TASKS.names()},
    }
    classes["train"] = {name: task.Train for name, task in classes["model"].items()}
    for section, found in classes.items():
        own = type(getattr(config, section)).model_fields
        for owner, other in found.items():
            for key in other.model_fields.keys() - own.keys():
                with pytest.raises(ConfigError) as caught:
                    load_config(files[base], {f"{section}.{key}": 1})
                # Some have an answer of their own.
                answer = type(getattr(config, section)).NOT_HERE.get(key, "; remove it")
                assert str(caught.value).endswith(answer)
                assert f"'{owner}'" in str(caught.value) or len(answer) > len("; remove it")


# --- names of before ---


@pytest.mark.parametrize(
    ("old", "answer"),
    [
        ("data.windows", "[data] windows = 1: is called `known_anomalies` now"),
        ("data.train", "[data] train = 1: is called `train_path` now"),
        ("data.test", "[data] test = 1: is called `test_path` now"),
        ("data.target", "[data] target = 1: stands in [model] now, as `targets`"),
        ("data.target_cap", "[data] target_cap = 1: stands in [model] now"),
    ],
)
def test_an_old_name_is_answered_with_the_new_one(
    files: dict[str, Path], old: str, answer: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(files["csv"], {old: 1})
    assert str(caught.value) == f"--set {old}: {answer}"
    assert tuple(old.split(".")) in RENAMED


def test_an_old_name_without_a_new_one_here_says_whose_it_is(files: dict[str, Path]) -> None:
    with pytest.raises(
        ConfigError,
        match="windows = 1: is for sources 'csv' and 'parquet', and source is 'npz'; remove it",
    ):
        load_config(files["npz"], {"data.windows": 1})


# As an earlier version wrote them into its checkpoints: every section flat, with the keys of all
# sources and tasks.
OLD = json.loads(
    (Path(__file__).parent / "data" / "configurations_before_sections.json").read_text()
)


@pytest.mark.parametrize("name", OLD)
def test_a_configuration_of_an_earlier_version_is_read(name: str, tmp_path: Path) -> None:
    now = load_config(f"recipe:{name}")
    assert Config.from_dict(OLD[name], str(FOLDER)) == now
    assert Config.from_dict(now.to_dict(), str(FOLDER)) == now
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"config": OLD[name], "fingerprint": "f"}))
    same_plan(
        plan,
        {"config": now.to_dict(), "fingerprint": "f"},
        lambda old: Config.from_dict(old, now.folder).to_dict(),
    )


@pytest.mark.usefixtures("forecast_csv")
def test_a_run_of_an_earlier_version_is_loaded_and_goes_on(
    configure: Configure, tmp_path: Path
) -> None:
    config = configure(FORECAST)
    run = train(config, tmp_path / "run", quiet=True)
    (run.path / "metrics.json").unlink()
    for name in ("best.pt", "last.pt"):
        contents = torch.load(run.path / name, weights_only=True)
        contents["config"]["data"] |= {
            "time_back": "refuse",
            "separator": ",",
            "lower": False,
            "dt": False,
        }
        contents["config"]["model"] |= {
            "bidirectional": False,
            "false_alarms": 0.001,
            "smoothing": 1,
        }
        contents["config"]["train"] |= {"label_smoothing": 0.0, "loss_steps": "all"}
        contents["format"] = 2  # of a file without a sha256
        for key in ("low", "high"):  # the training's range
            del contents["spec"]["inputs"][key]
        torch.save(contents, run.path / name)
    assert load_run(run.path).config == run.config
    assert train(config, run.path, resume=True, quiet=True).metrics == run.metrics
    with pytest.raises(TrainingError, match=r"model\.horizon was 3 and is 2"):
        train(configure(FORECAST, model__horizon=2), run.path, resume=True, quiet=True)


# --- the house ---


def test_no_other_file_names_a_source() -> None:
    sources = SOURCES.names()
    found = []
    for file in [*(ROOT / "edge_lstm").rglob("*.py"), *(ROOT / "export").rglob("*.py")]:
        # Of `data`, and of `guess`. A compiler for an NPU writes files of its own endings.
        if file.parent.name != "sources" and "npu" not in file.parts:
            constants = (
                n
                for n in ast.walk(ast.parse(file.read_text("utf-8")))
                if isinstance(n, ast.Constant)
            )
            names = [n for n in constants if n.value in sources]
            found += [f"{file}:{n.lineno}: {n.value!r}" for n in names]
    assert not found


def test_the_split_keeps_the_names_that_data_gave_up(files: dict[str, Path]) -> None:
    """[data] once had `train` and `test` too: in [data.split] they stay."""
    assert set(SplitConfig.model_fields) == {
        "by",
        "val",
        "test",
        "train",
        "stratify",
        "seed",
    }
    assert load_config(files["csv"], {"data.split.test": 0.3}).data.split.test == 0.3
