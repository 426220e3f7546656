"""What no single key of a configuration shows: keys that contradict each other, or lack each other."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edge_lstm_runtime.inputs.front_end import FrontEndError

from .schema import FORECASTS, MONITORS, Config

Contradiction = tuple[tuple[str, ...], str]  # the key to blame, and what was expected
TABLES = ("csv", "parquet", "cmapss")  # the sources with named columns


def contradictions(config: Config) -> Iterator[Contradiction]:
    """All there are, the most telling first."""
    for part in (_source, _sound, _columns, _time, _asked, _language, _windows, _split, _forecast, _training, _smaller):
        yield from part(config)


def _source(config: Config) -> Iterator[Contradiction]:
    """Where the data is."""
    data, split = config.data, config.data.split
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


def _sound(config: Config) -> Iterator[Contradiction]:
    """Source "wav" and its front end."""
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
        except FrontEndError as e:
            yield ("front_end", e.field), e.what
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


def _columns(config: Config) -> Iterator[Contradiction]:
    data, table = config.data, config.data.source in TABLES
    if table and data.channels is None:
        yield ("data", "channels"), f"expected the names of the input columns, for source {data.source!r}"
    if table and config.model.task == "classify" and data.label is None:
        yield ("data", "label"), "expected the name of the label column, for task 'classify'"
    for key in ("time", "label", "group"):
        if not table and getattr(data, key) is not None:
            yield ("data", key), f"names a column, and source {data.source!r} has none; remove it"
    for key in ("columns", "separator"):
        if data.source != "csv" and key in data.model_fields_set:
            yield ("data", key), "is for source 'csv'; remove it"
    if data.time is None and "time_back" in data.model_fields_set:
        yield ("data", "time_back"), "has no meaning without `time`; add `time`, or remove it"


def _time(config: Config) -> Iterator[Contradiction]:
    """What needs the times of the rows."""
    data = config.data
    if data.windows is not None:
        if config.model.task != "anomaly":
            yield ("data", "windows"), f"is for task 'anomaly', and task is {config.model.task!r}; remove it"
        elif data.time is None:
            yield ("data", "time"), "expected the name of the time column, in which `windows` are told"
    if data.dt:
        if data.time is None:
            yield ("data", "time"), "expected the name of the time column, from which `dt` is made"
        if data.dt_name in (*(data.channels or ()), data.time):
            yield ("data", "dt"), f"expected a new name, and {data.dt_name!r} is in `channels` or `time`"
        if data.time in (data.channels or ()):
            yield ("data", "channels"), f"expected no {data.time!r}, the `time` from which `dt` is made, among them"


def _asked(config: Config) -> Iterator[Contradiction]:
    """What the tasks "anomaly" and "regress" are told."""
    data, model, table = config.data, config.model, config.data.source in TABLES
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


def _language(config: Config) -> Iterator[Contradiction]:
    """Task "language" and source "text"."""
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


def _windows(config: Config) -> Iterator[Contradiction]:
    data = config.data
    if data.channels is not None and len(set(data.channels)) < len(data.channels):
        yield ("data", "channels"), "expected each name once"
    if data.window is None:
        for key in ("stride", "short"):
            if key in data.model_fields_set:
                yield ("data", key), "has no meaning without `window`; add `window`, or remove it"


def _split(config: Config) -> Iterator[Contradiction]:
    split = config.data.split
    if split.by != "group" and split.train is not None:
        yield ("data", "split", "train"), f"is for split by 'group', and by is {split.by!r}; remove it"
    if split.by == "given" and "test" in split.model_fields_set:
        yield ("data", "split", "test"), "split by 'given' takes the source's test part; remove it"
    for key in ("val", "test"):
        if split.by != "group" and isinstance(getattr(split, key), tuple):
            yield ("data", "split", key), f"expected a fraction; names of groups are for split by 'group', and by is {split.by!r}"
    if split.by != "given" and isinstance(split.val, float) and isinstance(split.test, float) and split.val + split.test >= 1:
        yield ("data", "split", "test"), f"expected val + test below 1, not {split.val + split.test:g}: nothing is left for training"


def _forecast(config: Config) -> Iterator[Contradiction]:
    data, model = config.data, config.model
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


def _training(config: Config) -> Iterator[Contradiction]:
    model, train = config.model, config.train
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
    if model.task in FORECASTS and config.augment is not None:
        for key in ("offset", "level"):
            if getattr(config.augment, key):
                yield ("augment", key), f"expected 0 for task {model.task!r}: what it should answer would be another value too"
    if train.cuda_graph:
        for what, there in (
            ("one device", train.devices > 1),
            ("`dropout` = 0", model.dropout > 0),
            ("one direction", model.bidirectional),
            ("no [distill]", config.distill is not None),
        ):
            if there:
                yield ("train", "cuda_graph"), f"expected false: only a step with {what} is recorded"
    if model.dropout > 0 and model.num_layers == 1:
        yield ("model", "dropout"), "works between layers, and num_layers is 1; expected 0"


def _smaller(config: Config) -> Iterator[Contradiction]:
    """[quantize], [prune], [distill]."""
    model = config.model
    if model.bidirectional and config.quantize is not None:
        kind = "int8 kernel" if config.quantize.scheme == "int8" else "int8 cell of an NPU"
        yield ("quantize", "scheme"), f"the {kind} runs no bidirectional model; remove the section"
    if config.prune is not None and config.train.refit:
        yield ("train", "refit"), "expected false with [prune], which chooses epochs on a validation split that must not be trained on"
    if config.prune is not None and config.prune.hidden_size >= model.hidden_size:
        yield ("prune", "hidden_size"), f"expected less than the {model.hidden_size} units of [model], some of which are to be removed"
    if (distill := config.distill) is not None:
        if (distill.teacher is None) == (distill.hidden_size is None):
            yield ("distill", "teacher"), "expected either `teacher`, a run's folder, or `hidden_size`, of a teacher that is trained first"
        if distill.hidden_size is not None and distill.hidden_size <= model.hidden_size:
            yield ("distill", "hidden_size"), f"expected more than the {model.hidden_size} units of [model], which learns from it"
        if model.task not in ("classify", "language") and "temperature" in distill.model_fields_set:
            yield ("distill", "temperature"), "is for tasks 'classify' and 'language'; remove it"
