"""The training configuration: a TOML file, checked key by key, with messages that name the line."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_lstm_runtime.audio import FrontEnd
from edge_lstm_runtime.errors import ConfigError
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
    cuda_graph  record a step on the GPU once and replay it; for small nets, whose kernels take longer to launch than to run
    loss_steps  task "classify": the loss is the mean over "all" steps, or at the "last" step of each sequence
    threads     of the CPU; when left out, one or PyTorch's default, as measured, see threads.py
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
    cuda_graph: bool = False
    threads: Count | None = None


class QuantizeConfig(_Section):
    """[quantize]: fine-tuning for a number format, after the training; none without this section.

    scheme         "int8": of the native kernel on CPUs; "w8a8": of the NPUs that have float16 beside int8
    tolerance      share of `monitor` that rounding may cost on the validation split; within it, and with answers that rounding moves by an
                   NRMSE of 1e-2 at most, there is nothing to win back and no fine-tuning; 0 fine-tunes always
    epochs         of the fine-tuning; a fifth of the training's when left out
    learning_rate  at its peak; a tenth of the training's when left out
    """

    scheme: Literal["int8", "w8a8"]
    tolerance: Annotated[float, Field(ge=0)] = 0.005
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
    from .contradictions import contradictions  # which knows the sections above

    for key, expected in contradictions(config):
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
