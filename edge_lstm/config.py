"""The training configuration: a TOML file, checked key by key, with messages that name the line."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_lstm_runtime.audio import FrontEnd
from edge_lstm_runtime.errors import BundleError, ConfigError
from edge_lstm_runtime.spec import MAX_LAYERS, Missing

from .config_errors import Problem
from .recipes import recipe_path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Fraction = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Names = Annotated[tuple[str, ...], Field(min_length=1)]
Groups = Annotated[tuple[str | int, ...], Field(min_length=1)]

ERRORS = ("loss", "mae", "rmse")
MONITORS = {
    "classify": ("loss", "accuracy", "macro_f1"),
    "forecast": ERRORS,
    "regress": ERRORS,
    "anomaly": ERRORS,
    "language": ("loss", "bits_per_character", "perplexity"),
}
FORECASTS = ("forecast", "anomaly")  # the tasks whose network forecasts
HIGHER_IS_BETTER = frozenset({"accuracy", "macro_f1"})


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SplitConfig(_Section):
    """[data.split]: how the recordings are divided.

    by     "time": each recording is cut into train, val, test, in this order; "group": whole groups; "given": the source's own
           train and test parts, and val drawn from train
    val    a fraction, or, by group, the names of the groups
    test   the same; not with "given"
    train  by group only: the names of the groups; all others when left out
    seed   of the draw of groups or of validation sequences
    """

    by: Literal["time", "group", "given"]
    val: Fraction | Groups = 0.15
    test: Fraction | Groups = 0.15
    train: Groups | None = None
    seed: Annotated[int, Field(ge=0)] = 0


class DataConfig(_Section):
    """[data]: where the recordings are, what their columns mean, how training windows are cut.

    path       a file, or a folder whose *.csv or *.parquet files are the recordings; for "npz" and "ts" a file
    train, test  instead of path, for the split "given"
    rul        source "cmapss": the file with the life that is left to each test engine at its end
    name       source "aeon": a data set that ships inside the package
    channels   the columns that are the model's inputs; for "ts", "aeon" and "npz" names for the channels, in order
    time       column of datetimes or numbers; must increase within a recording
    time_back  where it does not (a clock set back): "refuse", or "keep" the rows in the order of the file
    target     task "regress": the columns to answer, none of them an input; of "cmapss" ["life"], the cycles that are left
    target_cap  larger targets count as this one
    label      column of the class; a change of the label cuts the recording into sequences
    group      column that cuts a file into recordings (a subject, an engine)
    columns    names of all columns of a CSV without a header
    window     steps of a training window, `stride` apart; whole sequences when left out. Validation and test are never windowed
    short      what to do with a training sequence shorter than the window
    season     steps of the data's period (288 for a day of 5 minutes): adds the seasonal naive forecast as a baseline
    lower      source "text": upper case is made lower case
    keep       source "text": the characters that stay; what else there is, however much of it in a row, becomes one space
    first      source "text": only so many characters, counted after that
    pattern    source "wav": what the whole of a file's name without .wav looks like, a regular expression whose part (?P<label>...) is the
               class, and (?P<group>...), which may be left out, the group (a speaker)
    test_pattern  source "wav", for the split "given": what the names of the test files look like
    dt         a further input, the seconds since the row before (0 for the first), on a logarithmic scale: true, or its name. Rows may
               then have the same time
    windows    task "anomaly": a JSON file of the known anomalies, {"FILE": [[start, end], ...]}; FILE relative to that file's folder
    """

    source: Literal["csv", "parquet", "ts", "npz", "aeon", "cmapss", "wav", "text"]
    path: str | None = None
    train: str | None = None
    test: str | None = None
    rul: str | None = None
    name: str | None = None
    channels: Names | None = None
    time: str | None = None
    time_back: Literal["refuse", "keep"] = "refuse"
    label: str | None = None
    target: Names | None = None
    target_cap: float | None = None
    group: str | None = None
    separator: Annotated[str, Field(min_length=1, max_length=1)] = ","
    columns: Names | None = None
    missing: Missing = "refuse"
    window: Count | None = None
    stride: Count | None = None
    short: Literal["refuse", "pad", "drop"] = "refuse"
    season: Count | None = None
    lower: bool = False
    keep: Annotated[str, Field(min_length=1)] | None = None
    first: Count | None = None
    windows: str | None = None
    dt: bool | Annotated[str, Field(min_length=1)] = False
    split: SplitConfig
    pattern: str | None = None
    test_pattern: str | None = None

    @property
    def dt_name(self) -> str:
        """Of the channel that `dt` adds; empty where there is none."""
        return self.dt if isinstance(self.dt, str) else "dt" if self.dt else ""

    @property
    def inputs(self) -> tuple[str, ...] | None:
        """`channels`, with that of `dt` at the end."""
        return (*self.channels, self.dt_name) if self.channels and self.dt else self.channels


class ModelConfig(_Section):
    """[model]: the network and what it answers.

    dropout   between layers, so only with two or more
    bidirectional  task "classify": read each sequence from both ends; the model then answers whole sequences only, never a live stream
    targets   task "forecast": the channels to forecast; all when left out
    residual  task "forecast": forecast the change from the value now, not the value
    embedding  task "language": each character is trained as a vector of this size; the exported model has it folded into its first layer
    false_alarms  task "anomaly", which forecasts too: the share of the training steps (known anomalies left out) that may be flagged
    smoothing     task "anomaly": steps over which the score is averaged, exponentially; 1 for none
    """

    task: Literal["classify", "forecast", "regress", "anomaly", "language"]
    hidden_size: Count
    num_layers: Annotated[int, Field(ge=1, le=MAX_LAYERS)] = 1
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    bidirectional: bool = False
    targets: Names | None = None
    horizon: Count | None = None
    residual: bool = False
    embedding: Count | None = None
    false_alarms: Fraction = 0.001
    smoothing: Count = 1


class TrainConfig(_Section):
    """[train]: the optimisation.

    warmup      share of all steps in which the learning rate rises from 0; it then falls to 0 along a cosine
    clip_norm   gradients are scaled down to this norm
    patience    epochs without a better `monitor` on the validation split before training stops; 0 never stops early
    monitor     "loss", or a metric of the task: accuracy, macro_f1 (classify), mae, rmse (forecast, regress),
                bits_per_character, perplexity (language)
    carry       share of the sequences that begin in the state that another one left, as a stream that is never reset goes on; none of a
                bidirectional model, which carries nothing; task "language" carries the state of each stream on, always
    loss        tasks "forecast", "regress": squared error, or "huber", which large errors (rare jumps) don't dominate
    refit       train anew on the training and the validation split together, for as many epochs as were best; that is then the model
    loss_steps  task "classify": the loss is the mean over "all" steps, or at the "last" step of each sequence
    """

    epochs: Count
    batch_size: Count = 32
    learning_rate: Annotated[float, Field(gt=0)] = 3e-3
    optimizer: Literal["adamw", "adam"] = "adamw"
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.05
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    patience: Annotated[int, Field(ge=0)] = 0
    monitor: Literal["loss", "accuracy", "macro_f1", "mae", "rmse", "bits_per_character", "perplexity"] = "loss"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    loss_steps: Literal["all", "last"] = "all"
    carry: Annotated[float, Field(ge=0, le=1)] = 0.5
    loss: Literal["mse", "huber"] = "mse"
    refit: bool = False
    seed: Annotated[int, Field(ge=0)] = 0
    precision: Literal["fp32", "bf16"] = "fp32"
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    devices: Count = 1
    strategy: Literal["auto", "ddp"] = "auto"


class QuantizeConfig(_Section):
    """[quantize]: fine-tuning for a number format, after the training; none without this section.

    scheme         "int8": of the native kernel on CPUs; "w8a8": of the NPUs that have float16 beside int8
    epochs         of the fine-tuning; a fifth of the training's when left out
    learning_rate  at its peak; a tenth of the training's when left out
    """

    scheme: Literal["int8", "w8a8"]
    epochs: Count | None = None
    learning_rate: Annotated[float, Field(gt=0)] | None = None


class FrontEndConfig(_Section):
    """[front_end]: source "wav": how sound becomes the model's channels; the formulas stand in edge_lstm_runtime.audio.

    n_fft   the least power of two that holds a frame when left out
    n_mfcc  kind "mfcc" only: 13 when left out
    f_max   half the sample rate when left out
    """

    kind: Literal["log-mel", "mfcc"] = "log-mel"
    sample_rate: Count
    frame_length: Count
    hop_length: Count
    n_fft: Count | None = None
    n_mels: Count = 40
    n_mfcc: Count | None = None
    f_min: Annotated[float, Field(ge=0)] = 20.0
    f_max: Annotated[float, Field(gt=0)] | None = None
    floor: Annotated[float, Field(gt=0)] = 1e-4

    def front_end(self) -> FrontEnd:
        """Raises BundleError for sizes that contradict each other."""
        return FrontEnd(
            kind=self.kind,
            sample_rate=self.sample_rate,
            frame_length=self.frame_length,
            hop_length=self.hop_length,
            n_fft=self.n_fft or max(4, 1 << (self.frame_length - 1).bit_length()),
            n_mels=self.n_mels,
            n_mfcc=(self.n_mfcc or 13) if self.kind == "mfcc" else self.n_mfcc or 0,
            f_min=self.f_min,
            f_max=self.sample_rate / 2 if self.f_max is None else self.f_max,
            floor=self.floor,
        )


class AugmentConfig(_Section):
    """[augment]: random changes of the training sequences or windows, others in every epoch; none without this section.

    offset         standard deviation of a constant for each sequence and channel: a sensor calibrated or mounted otherwise
    level          standard deviation of one constant for all channels of a sequence: a louder or a quieter one
    noise          standard deviation of the noise for each value; all three in standard deviations of the channel
    mask_steps     the longest run of steps that is hidden, as a share of the sequence
    mask_channels  the widest run of neighbouring channels that is hidden, as a share of them
    """

    offset: Annotated[float, Field(ge=0)] = 0.0
    level: Annotated[float, Field(ge=0)] = 0.0
    noise: Annotated[float, Field(ge=0)] = 0.0
    mask_steps: Annotated[float, Field(ge=0, lt=1)] = 0.0
    mask_channels: Annotated[float, Field(ge=0, lt=1)] = 0.0


class PruneConfig(_Section):
    """[prune]: whole hidden units are removed after the training; none without this section.

    hidden_size    units that each layer keeps
    steps          rounds in which they are removed, each followed by fine-tuning
    epochs         of the fine-tuning in each round; a fifth of the training's when left out
    learning_rate  at its peak, in each round; half of the training's when left out
    """

    hidden_size: Count
    steps: Count = 3
    epochs: Count | None = None
    learning_rate: Annotated[float, Field(gt=0)] | None = None


class DistillConfig(_Section):
    """[distill]: the training learns from a larger model's answers too; not without this section.

    teacher      folder of a finished run of the same data, or
    hidden_size  units of a teacher that is trained first, by the same configuration
    temperature  task "classify": both models' logits are divided by it before they are compared
    weight       share of the teacher in the loss; the rest is the usual loss
    """

    teacher: str | None = None
    hidden_size: Count | None = None
    temperature: Annotated[float, Field(gt=0)] = 2.0
    weight: Annotated[float, Field(gt=0, le=1)] = 0.5


class Config(_Section):
    """A whole configuration. folder: where the file was; relative data paths are looked for there first."""

    data: DataConfig
    model: ModelConfig
    train: TrainConfig
    quantize: QuantizeConfig | None = None
    front_end: FrontEndConfig | None = None
    augment: AugmentConfig | None = None
    prune: PruneConfig | None = None
    distill: DistillConfig | None = None
    folder: str = Field(default=".", exclude=True)

    def to_dict(self) -> dict[str, Any]:
        """What was configured, as plain lists, numbers and text, without `folder`; the defaults are spelled out."""
        values: dict[str, Any] = self.model_dump(mode="json", exclude_none=True)
        return values

    def to_toml(self) -> str:
        """What was set, as a file that `load_config` reads from any folder."""
        values: dict[str, Any] = self.model_dump(mode="json", exclude_unset=True)
        for key in ("path", "train", "test", "rul", "windows"):
            path = values["data"].get(key)
            if path is not None and (Path(self.folder) / path).exists():
                values["data"][key] = str((Path(self.folder) / path).resolve())
        split = values["data"].pop("split")
        tables = {"data": values["data"], "data.split": split, "model": values["model"], "train": values["train"]}
        tables |= {name: values[name] for name in ("front_end", "augment", "distill", "prune", "quantize") if values.get(name) is not None}
        teacher = tables.get("distill", {}).get("teacher")
        if teacher is not None and (Path(self.folder) / teacher).exists():
            tables["distill"]["teacher"] = str((Path(self.folder) / teacher).resolve())
        # JSON's numbers, booleans, strings and lists of them are TOML's too.
        return "\n".join(
            f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items()) for name, table in tables.items()
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], folder: str) -> Config:
        """The inverse of `to_dict`."""
        return cls.model_validate(_frozen({**values, "folder": folder}))


def load_config(path: str | Path, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read and check a configuration.

    path: a TOML file, or "recipe:NAME" for one that is packaged.
    overrides: values that take the place of the file's, such as {"train.epochs": 3}.
    Raises ConfigError: one line with the file's line, the key, its value and what was expected.
    """
    path = recipe_path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(f"{path}: can't be read ({e}); expected a TOML file, or recipe:NAME as in `edge-lstm recipes`") from e
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        place = re.search(r"line (\d+), column (\d+)", str(e))
        where = f"{path}:{place[1]}:{place[2]}" if place else f"{path}:{text.count(chr(10)) + 1}"
        raise ConfigError(f"{where}: not valid TOML: {e}") from e
    set_keys = []
    for dotted, value in (overrides or {}).items():
        _override(values, dotted, value)
        set_keys.append(tuple(dotted.split(".")))
    problem = Problem(Config, path, text, values, set_keys)
    values = _frozen(values)
    if "folder" in values:
        problem.unknown(("folder",))
    try:
        config = Config.model_validate({**values, "folder": str(path.resolve().parent)})
    except ValidationError as e:
        problem.of_pydantic(e)
    for key, expected in _contradictions(config):
        problem.stop(key, expected)
    return config


def toml_value(text: str) -> Any:
    """A value as TOML has it; what is none is text, so that quotes can be left out."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def _frozen(value: Any) -> Any:
    """Lists as tuples: strict validation takes no list for a tuple."""
    if isinstance(value, Mapping):
        return {k: _frozen(v) for k, v in value.items()}
    return tuple(_frozen(v) for v in value) if isinstance(value, list | tuple) else value


def _override(values: dict[str, Any], dotted: str, value: Any) -> None:
    *sections, key = dotted.split(".")
    table = values
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {dotted}: {section!r} is no section; expected SECTION.KEY, such as train.epochs")
    if not sections or not key:
        raise ConfigError(f"--set {dotted}: expected SECTION.KEY, such as train.epochs")
    table[key] = value


def _contradictions(config: Config) -> Iterator[tuple[tuple[str, ...], str]]:
    """What no single key shows: (the key to blame, what was expected)."""
    data, model, train, split = config.data, config.model, config.train, config.data.split
    table = data.source in ("csv", "parquet", "cmapss")
    if data.source == "cmapss":
        if split.by != "given":
            yield ("data", "split", "by"), "expected 'given' for source 'cmapss', which has a training and a test file"
        if data.rul is None:
            yield ("data", "rul"), "expected the path of the file with the life left to each test engine (RUL_FD001.txt)"
        for key in ("time", "label", "group"):
            if getattr(data, key) is not None:
                yield ("data", key), "source 'cmapss' knows its columns; remove it"
    elif data.rul is not None:
        yield ("data", "rul"), f"is for source 'cmapss', and source is {data.source!r}; remove it"
    yield from _sound_contradictions(config)
    if data.source == "aeon":
        if data.name is None:
            yield ("data", "name"), "expected the name of a data set inside aeon, such as 'BasicMotions'"
        for key in ("path", "train", "test"):
            if getattr(data, key) is not None:
                yield ("data", key), "source 'aeon' has a name and no path; remove it"
    elif data.name is not None:
        yield ("data", "name"), f"is for source 'aeon', and source is {data.source!r}; remove it"
    elif data.source == "wav":
        if data.path is None:
            yield ("data", "path"), "expected the folder with the .wav files"
        for key in ("train", "test"):
            if getattr(data, key) is not None:
                yield ("data", key), "source 'wav' has one folder, `path`, and `test_pattern` for its test files; remove it"
    elif split.by == "given" and (data.train is None or data.test is None):
        yield ("data", "test" if data.train else "train"), "expected a path: split by 'given' needs both `train` and `test`"
    elif split.by != "given" and (data.path is None or data.train is not None or data.test is not None):
        yield ("data", "path" if data.path is None else "train"), f"expected `path` alone for split by {split.by!r}"
    elif split.by == "given" and data.path is not None:
        yield ("data", "path"), "split by 'given' reads `train` and `test`; remove it"
    if table and data.channels is None:
        yield ("data", "channels"), f"expected the names of the input columns, for source {data.source!r}"
    if table and model.task == "classify" and data.label is None:
        yield ("data", "label"), "expected the name of the label column, for task 'classify'"
    for key in ("time", "label", "group"):
        if not table and getattr(data, key) is not None:
            yield ("data", key), f"names a column, and source {data.source!r} has none; remove it"
    for key in ("columns", "separator"):
        if data.source != "csv" and key in data.model_fields_set:
            yield ("data", key), "is for source 'csv'; remove it"
    if data.time is None and "time_back" in data.model_fields_set:
        yield ("data", "time_back"), "has no meaning without `time`; add `time`, or remove it"
    if data.windows is not None:
        if model.task != "anomaly":
            yield ("data", "windows"), f"is for task 'anomaly', and task is {model.task!r}; remove it"
        elif data.time is None:
            yield ("data", "time"), "expected the name of the time column, in which `windows` are told"
    if data.dt:
        if data.time is None:
            yield ("data", "time"), "expected the name of the time column, from which `dt` is made"
        if data.dt_name in (*(data.channels or ()), data.time):
            yield ("data", "dt"), f"expected a new name, and {data.dt_name!r} is in `channels` or `time`"
        if data.time in (data.channels or ()):
            yield ("data", "channels"), f"expected no {data.time!r}, the `time` from which `dt` is made, among them"
    for key in ("false_alarms", "smoothing"):
        if model.task != "anomaly" and key in model.model_fields_set:
            yield ("model", key), f"is for task 'anomaly', and task is {model.task!r}; remove it"
    for key in ("target", "target_cap"):
        if model.task != "regress" and getattr(data, key) is not None:
            yield ("data", key), f"is for task 'regress', and task is {model.task!r}; remove it"
    if model.task == "regress":
        if not table:
            yield ("model", "task"), f"'regress' needs target columns, and source {data.source!r} has none; expected csv, parquet or cmapss"
        if data.target is None:
            yield ("data", "target"), "expected the names of the columns to answer, for task 'regress'"
        for target in data.target or ():
            if target in (data.channels or ()):
                yield ("data", "target"), f"{target!r} is an input (`channels`) too; an answer that is given needs no model"
        if len(set(data.target or ())) < len(data.target or ()):
            yield ("data", "target"), "expected each name once"
    yield from _language_contradictions(config)
    if data.channels is not None and len(set(data.channels)) < len(data.channels):
        yield ("data", "channels"), "expected each name once"
    if data.window is None:
        for key in ("stride", "short"):
            if key in data.model_fields_set:
                yield ("data", key), "has no meaning without `window`; add `window`, or remove it"
    if split.by != "group" and split.train is not None:
        yield ("data", "split", "train"), f"is for split by 'group', and by is {split.by!r}; remove it"
    if split.by == "given" and "test" in split.model_fields_set:
        yield ("data", "split", "test"), "split by 'given' takes the source's test part; remove it"
    for key in ("val", "test"):
        if split.by != "group" and isinstance(getattr(split, key), tuple):
            yield ("data", "split", key), f"expected a fraction; names of groups are for split by 'group', and by is {split.by!r}"
    if split.by != "given" and isinstance(split.val, float) and isinstance(split.test, float) and split.val + split.test >= 1:
        yield ("data", "split", "test"), f"expected val + test below 1, not {split.val + split.test:g}: nothing is left for training"
    if model.task in FORECASTS:
        if model.horizon is None:
            yield ("model", "horizon"), f"expected the number of steps to forecast, for task {model.task!r}"
        if data.season is not None and model.horizon is not None and data.season < model.horizon:
            yield ("data", "season"), f"expected at least the horizon ({model.horizon}): the seasonal forecast must be known by then"
        for target in model.targets or ():
            if data.channels is not None and target not in data.channels:
                yield ("model", "targets"), f"expected names among the channels {list(data.channels)}, and {target!r} is not"
        if model.bidirectional:
            yield ("model", "bidirectional"), "is for task 'classify': a forecast would read the future that it is to tell; remove it"
    else:
        for section, key in (("model", "horizon"), ("model", "targets"), ("model", "residual"), ("data", "season")):
            if key in getattr(config, section).model_fields_set:
                hint = "; the columns to answer stand in [data] `target`" if (key, model.task) == ("targets", "regress") else ""
                yield (section, key), f"is for task 'forecast'; remove it{hint}"
    if model.task == "regress" and model.bidirectional:
        yield ("model", "bidirectional"), "is for task 'classify'; remove it"
    if model.task == "classify":
        if "loss" in train.model_fields_set:
            yield ("train", "loss"), "is for tasks 'forecast' and 'regress'; remove it"
    elif model.task != "language":
        for key in ("loss_steps", "label_smoothing"):
            if key in train.model_fields_set:
                yield ("train", key), "is for task 'classify'; remove it"
    if train.monitor not in MONITORS[model.task]:
        yield ("train", "monitor"), f"expected one of {', '.join(MONITORS[model.task])} for task {model.task!r}"
    if model.bidirectional and train.carry > 0 and "carry" in train.model_fields_set:
        yield ("train", "carry"), "expected 0: a bidirectional model carries no state; remove it"
    if model.bidirectional and config.quantize is not None:
        kind = "int8 kernel" if config.quantize.scheme == "int8" else "int8 cell of an NPU"
        yield ("quantize", "scheme"), f"the {kind} runs no bidirectional model; remove the section"
    if config.prune is not None and config.prune.hidden_size >= model.hidden_size:
        yield ("prune", "hidden_size"), f"expected less than the {model.hidden_size} units of [model], some of which are to be removed"
    if (distill := config.distill) is not None:
        if (distill.teacher is None) == (distill.hidden_size is None):
            yield ("distill", "teacher"), "expected either `teacher`, a run's folder, or `hidden_size`, of a teacher that is trained first"
        if distill.hidden_size is not None and distill.hidden_size <= model.hidden_size:
            yield ("distill", "hidden_size"), f"expected more than the {model.hidden_size} units of [model], which learns from it"
        if model.task not in ("classify", "language") and "temperature" in distill.model_fields_set:
            yield ("distill", "temperature"), "is for tasks 'classify' and 'language'; remove it"
    if model.task in FORECASTS and config.augment is not None:
        for key in ("offset", "level"):
            if getattr(config.augment, key):
                yield ("augment", key), f"expected 0 for task {model.task!r}: what it should answer would be another value too"
    if model.dropout > 0 and model.num_layers == 1:
        yield ("model", "dropout"), "works between layers, and num_layers is 1; expected 0"


def _sound_contradictions(config: Config) -> Iterator[tuple[tuple[str, ...], str]]:
    """The part of `_contradictions` that is about source "wav"."""
    data, given = config.data, config.data.split.by == "given"
    if data.source != "wav":
        for key in ("pattern", "test_pattern"):
            if getattr(data, key) is not None:
                yield ("data", key), f"is for source 'wav', and source is {data.source!r}; remove it"
        if config.front_end is not None:
            yield ("front_end",), f"is for source 'wav', and source is {data.source!r}; remove the section"
        return
    if data.channels is not None:
        yield ("data", "channels"), "the channels of source 'wav' are the front end's; remove it"
    if config.front_end is None:
        yield ("front_end",), "expected a section with sample_rate, frame_length and hop_length, for source 'wav'"
    else:
        try:
            config.front_end.front_end()
        except BundleError as e:
            found = re.match(r"front end: (\w+)", str(e))
            key = found[1] if found and found[1] in FrontEndConfig.model_fields else "n_mels"
            yield ("front_end", key), str(e).removeprefix("front end: ")
    compiled = {}
    for key in ("pattern", "test_pattern"):
        try:
            compiled[key] = re.compile(getattr(data, key) or "")
        except re.error as e:
            yield ("data", key), f"is no regular expression: {e}"
    if config.model.task == "classify" and "pattern" in compiled and "label" not in compiled["pattern"].groupindex:
        yield ("data", "pattern"), "expected a regular expression for the files' names with a part (?P<label>...), for task 'classify'"
    if given != (data.test_pattern is not None):
        yield ("data", "test_pattern"), f"goes with split by 'given' of source 'wav', and by is {data.split.by!r}"


def _language_contradictions(config: Config) -> Iterator[tuple[tuple[str, ...], str]]:
    data, model, train = config.data, config.model, config.train
    if model.task != "language":
        if data.source == "text":
            yield ("model", "task"), "expected 'language', for source 'text'"
        for section, key in (("data", "lower"), ("data", "keep"), ("data", "first"), ("model", "embedding")):
            if key in getattr(config, section).model_fields_set:
                yield (section, key), f"is for task 'language', and task is {model.task!r}; remove it"
        return
    if data.source != "text":
        yield ("data", "source"), "expected 'text', for task 'language'"
    if data.split.by == "group":
        yield ("data", "split", "by"), "expected 'time' (the end of the text is held out) or 'given', for task 'language'"
    if data.window is None:
        yield ("data", "window"), "expected the characters over which the gradient is followed back, for task 'language'"
    for key in ("channels", "missing", "stride", "short"):
        if key in data.model_fields_set:
            yield ("data", key), "has no meaning for task 'language'; remove it"
    for key in ("loss", "loss_steps", "label_smoothing"):
        if key in train.model_fields_set:
            yield ("train", key), "has no meaning for task 'language'; remove it"
    if "carry" in train.model_fields_set:
        yield ("train", "carry"), "has no meaning for task 'language', whose streams always carry their state; remove it"
    if model.bidirectional:
        yield ("model", "bidirectional"), "is for task 'classify': it would read the characters that it is to tell; remove it"
    if config.augment is not None:
        yield ("augment",), "has no meaning for task 'language', whose inputs are characters; remove the section"
    if model.embedding is not None and (config.quantize is not None or config.prune is not None):
        yield (
            ("model", "embedding"),
            "can't be with [quantize] or [prune], which take the first layer as the board has it; remove it",
        )
