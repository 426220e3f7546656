"""The keys that all sources share in [data], and all tasks in [model] and [train].

A source's own keys are in data/sources/NAME.py, a task's own in tasks/NAME.py.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol

from pydantic import Field

from edge_lstm_runtime.errors import BundleError, DataError, TrainingError
from edge_lstm_runtime.inputs.channels import Missing
from edge_lstm_runtime.inputs.front_end import FrontEnd
from edge_lstm_runtime.layers import FEATURES, recurrent_types
from edge_lstm_runtime.model.network import Network, network_from
from edge_lstm_runtime.tasks import Answer

from ..data.recordings import Parts, Recording, Splits
from ..data.sources import SOURCES
from ..emulate.npu_networks import refused
from ..stateful import read_by_stateful, stateful, units_of, unread
from ..tasks import TASKS
from .base import (
    Contradiction,
    Count,
    NotNegative,
    Positive,
    Section,
    Share,
    belongs,
    listed,
    repeated,
    with_fact,
    with_key,
)
from .common import AugmentConfig, DistillConfig, PruneConfig, QuantizeConfig, SplitConfig
from .transforms import Derivation

if TYPE_CHECKING:
    import polars as pl

MAX_LAYERS = 4


@dataclasses.dataclass(frozen=True)
class Asked:
    """The facts that the other sections tell a source's reader.

    folder     of the configuration. Relative paths are looked for there first
    targets    the columns that the task answers and that are no inputs
    front_end  turns sound into channels
    steps_ahead  those that the task forecasts, () if it forecasts none
    unlabelled whether rows may have no label
    """

    folder: str
    targets: tuple[str, ...] = ()
    front_end: FrontEnd | None = None
    steps_ahead: tuple[int, ...] = ()
    unlabelled: bool = False


class DataSection(Section):
    """[data]: the keys of every source. A source derives from this.

    window  steps of a training window, whole sequences if left out. Validation and test are
            never cut into windows
    season  steps of the data's period (288 for a day of 5 minutes): adds the seasonal naive
            forecast as a baseline

    PATHS            the keys that hold paths
    has_columns      whether a table's columns can be answered by their names
    characters       whether its samples are the characters of a text
    needs_front_end  whether it is sound, which [front_end] turns into channels
    KEPT             whether large data is kept in the cache: nothing but the keys of [data], the
                     files of PATHS and `Asked` may then decide what is read
    """

    FOR_TASKS: ClassVar[tuple[str, ...]] = ("season",)
    PATHS: ClassVar[tuple[str, ...]] = ()
    KEPT: ClassVar[bool] = False
    has_columns: ClassVar[bool] = False
    characters: ClassVar[bool] = False
    needs_front_end: ClassVar[bool] = False

    source: str
    split: SplitConfig
    window: Count | None = None
    season: Count | None = None

    def check(self, asked: Asked) -> None:  # noqa: ARG002
        """Raise DataError for a mistake that is seen without reading all of the data."""
        return

    @abstractmethod
    def read(self, asked: Asked) -> list[Recording]:
        """All recordings. Raises DataError."""

    def each(self, asked: Asked) -> Iterator[Recording]:
        """The recordings one after the other, as `read` gives them but for `finished`.

        Raises DataError, also if they can't be read one by one.
        """
        yield from self.read(asked)

    def finished(self, found: list[Recording], asked: Asked) -> list[Recording]:  # noqa: ARG002
        """All recordings that `each` gave, with what takes all of them to know.

        Arrays may be added or left out.
        """
        return found

    @property
    def endings(self) -> tuple[str, ...]:
        """Of the files that a folder is read for."""
        return ("",)

    def read_alone(self, path: Path, channels: tuple[str, ...]) -> Recording | None:  # noqa: ARG002
        """One file that is not of the configuration, in its format. None: a CSV is expected."""
        return None

    def read_frame(
        self,
        frame: pl.DataFrame,  # noqa: ARG002
        asked: Asked,  # noqa: ARG002
        *,
        answered: bool,  # noqa: ARG002
    ) -> list[Recording]:
        """The recordings of a frame in memory. Raises DataError.

        answered: whether with their labels and targets. Only a source of tables can tell a frame's
        columns.
        """
        raise DataError(
            f"the model was trained by source {self.source!r}, which names no columns; give arrays "
            "(N, T, C), or a list of recordings (T, C)"
        )

    @property
    def named_channels(self) -> tuple[str, ...] | None:
        """The inputs as the configuration names them, None if it doesn't."""
        return None

    @property
    def known_columns(self) -> tuple[str, ...]:
        """The inputs whose values in the future are inputs too."""
        return ()

    def inputs(self, asked: Asked, width: int) -> tuple[str, ...]:  # noqa: ARG002
        """The names of the inputs. width: how many there are."""
        return self.named_channels or tuple(f"channel_{k}" for k in range(width))

    @property
    def dt_name(self) -> str:
        """The input that holds the seconds since the row before, "" if there is none."""
        return ""

    @property
    def derivation(self) -> Derivation:
        """What becomes of the channels, and what is derived of them."""
        return Derivation()

    @property
    def cuts(self) -> dict[str, Any]:
        """How training sequences are cut into windows, as `windows.examples` takes it."""
        return {"window": self.window}

    @property
    def described(self) -> dict[str, Any]:
        """The specification's facts on the inputs, but for their statistics."""
        return {}

    def rules(self, config: Whole) -> Iterator[Contradiction]:  # noqa: ARG002
        """The keys that contradict each other or other sections, the most telling first."""
        yield from ()

    @property
    def paths(self) -> list[str]:
        return [path for key in self.PATHS for path in listed(getattr(self, key))]

    @property
    def needs(self) -> str:
        """The data, in words."""
        return ", ".join(self.paths)

    @classmethod
    def elsewhere(cls, key: str, values: Mapping[str, Any]) -> str:
        owners = with_key(SOURCES, key)
        return super().elsewhere(key, values) or belongs("source", owners, values["data"]["source"])


class SampleSection(DataSection):
    """[data] of the sources whose samples are numbers.

    missing  an empty cell or NaN: "refuse" it, "ffill" the last value, or "mask" it, a further
             input that says so
    normalize  "standard": by the training split's mean and standard deviation. "robust": by its
               median and its quantiles, which a few wild values don't move
    stride   steps from one window to the next
    short    what to do with a training sequence that is shorter than the window
    """

    missing: Missing = "refuse"
    normalize: Literal["standard", "robust"] = "standard"
    stride: Count | None = None
    short: Literal["refuse", "pad", "drop"] = "refuse"

    @property
    def cuts(self) -> dict[str, Any]:
        return {"window": self.window, "stride": self.stride, "short": self.short}

    @property
    def described(self) -> dict[str, Any]:
        return {"missing": self.missing}

    def rules(self, config: Whole) -> Iterator[Contradiction]:
        yield from super().rules(config)
        if repeated(self.named_channels):
            yield ("data", "channels"), "expected each name once"
        for key in ("stride", "short"):
            if self.window is None and key in self.model_fields_set:
                yield ("data", key), "has no meaning without `window`; add `window`, or remove it"


class TrainConfig(Section):
    """[train]: the optimization, in the keys of every task.

    warmup      share of all steps in which the learning rate rises from 0. It then falls to 0
                along a cosine
    clip_norm   gradients are scaled down to this norm
    patience    epochs without a better `monitor` on the validation split before training stops.
                0 never stops early
    devices     GPUs or processes of each machine
    num_nodes   machines that train together. torchrun starts this command on each
    threads     of the CPU. If left out, one or PyTorch's default as measured, see threads.py
    monitor     "loss", or another of the task's `MONITORS`
    refit       train anew on the training and the validation split together, for as many epochs
                as were best. The result is then the model
    cuda_graph  record a step on the GPU once and replay it. For small nets, whose kernels take
                longer to launch than to run
    """

    epochs: Count
    batch_size: Count = 32
    learning_rate: Positive = 3e-3
    optimizer: Literal["adamw", "adam"] = "adamw"
    weight_decay: NotNegative = 0.01
    warmup: Share = 0.05
    clip_norm: Positive = 1.0
    patience: Annotated[int, Field(ge=0)] = 0
    monitor: str = "loss"
    refit: bool = False
    seed: Annotated[int, Field(ge=0)] = 0
    precision: Literal["fp32", "bf16"] = "fp32"
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    devices: Count = 1
    num_nodes: Count = 1
    strategy: Literal["auto", "ddp"] = "auto"
    cuda_graph: bool = False
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None  # a million end PyTorch by SIGSEGV

    @property
    def share_carried(self) -> float:
        """The share of the sequences that begin in the state that another one left."""
        return 0.0

    def rules(self, config: Whole) -> Iterator[Contradiction]:
        """The keys that contradict each other or other sections, the most telling first."""
        monitors = config.model.MONITORS
        if self.monitor not in monitors:
            expected = f"expected one of {', '.join(monitors)} for task {config.model.task!r}"
            yield ("train", "monitor"), expected
        if self.cuda_graph:
            for what, there in (
                ("one device", self.devices * self.num_nodes > 1),
                ("`dropout` = 0", config.model.dropout > 0),
                ("no [distill]", config.distill is not None),
            ):
                if there:
                    expected = f"expected false: only a step with {what} is recorded"
                    yield ("train", "cuda_graph"), expected

    @classmethod
    def elsewhere(cls, key: str, values: Mapping[str, Any]) -> str:
        owners = with_key(TASKS, key, "Section.Train")
        return super().elsewhere(key, values) or belongs("task", owners, values["model"]["task"])


class CarriedTrainConfig(TrainConfig):
    """[train] of the tasks whose training sequences are apart.

    carry  share of the sequences that begin in the state that another one left, as a stream that
           is never reset goes on
    """

    carry: Annotated[float, Field(ge=0, le=1)] = 0.5

    @property
    def share_carried(self) -> float:
        return self.carry


TrainClass = type[TrainConfig]  # `type` is a key of the section below


class TaskSection(Section):
    """[model]: the network and its answers, in the keys of every task. A task derives from this.

    type         of the recurrent layers
    hidden_size  units of each
    num_layers   how many, one after the other
    layers       in place of these three, [[model.layers]]: a table for each layer, with its type
                 and the type's own keys. `name` and `inputs` can be left out: it then reads the one
                 before. A dense layer for the answers follows the last one
    dropout      on the outputs of recurrent layers that a later recurrent layer reads, directly or
                 through others

    MONITORS          what [train] `monitor` can be, the loss first
    HIGHER_IS_BETTER  those of them that are better if they are higher
    USES              the keys of other sections' `FOR_TASKS` that it takes
    Train             its [train]
    needs_labels      whether recordings need labels
    unlabelled_rows   whether some of their rows may have none
    reads_characters  whether its samples are the characters of a text, which is read in order
    splits_within_recordings  whether validation is the end of the training recordings, not whole
                      recordings, if the test split is given
    reads_whole_sequences  whether a network that reads both ways can answer it
    FITS              the data in memory that `fit` takes it for: a "class" of each recording,
                      "classes" of its steps, "numbers", or "next" values. "" for none
    """

    MONITORS: ClassVar[tuple[str, ...]] = ("loss",)
    HIGHER_IS_BETTER: ClassVar[frozenset[str]] = frozenset()
    USES: ClassVar[frozenset[str]] = frozenset()
    Train: ClassVar[TrainClass] = TrainConfig
    needs_labels: ClassVar[bool] = False
    unlabelled_rows: ClassVar[bool] = False
    reads_characters: ClassVar[bool] = False
    splits_within_recordings: ClassVar[bool] = False
    reads_whole_sequences: ClassVar[bool] = False
    FITS: ClassVar[str] = ""

    task: str
    type: str = "lstm"
    hidden_size: Count | None = None
    num_layers: Annotated[int, Field(ge=1, le=MAX_LAYERS)] = 1
    layers: Annotated[tuple[dict[str, Any], ...], Field(min_length=1)] | None = None
    dropout: Share = 0.0

    @abstractmethod
    def divide(self, parts: Parts, channels: tuple[str, ...]) -> Splits:
        """The sequences to learn, with what to answer. Raises DataError."""

    @abstractmethod
    def answer(self, splits: Splits, dt_name: str) -> Answer:
        """The last part of the specification, with offset 0 and scale 1 if it has them.

        Raises DataError.
        """

    def recurrent(self) -> dict[str, Any]:
        """A recurrent layer, without its name and its inputs."""
        return {"type": self.type, "units": self.hidden_size}

    def network(self, features: int, outputs: int) -> Network:
        """Raises BundleError, naming the layer, if `layers` describes none."""
        found: list[dict[str, Any]] = []
        before = FEATURES
        named = self.layers or [
            {**self.recurrent(), "name": f"{self.type}{k}"} for k in range(self.num_layers)
        ]
        for k, layer in enumerate(named):
            found.append({"name": f"{layer.get('type')}{k}", "inputs": [before], **layer})
            before = found[-1]["name"]
        head = {"type": "dense", "name": "head", "units": outputs, "inputs": [before]}
        return network_from(features, [*found, head])

    @property
    def units(self) -> int:
        """The units of the widest recurrent layer, in one direction."""
        return max(map(units_of, stateful(self.network(1, 1))), default=0)

    @property
    def target_columns(self) -> tuple[str, ...]:
        """The columns of the data that are answered and that are no inputs."""
        return ()

    @property
    def steps_ahead(self) -> tuple[int, ...]:
        """The steps ahead that it forecasts, () if it forecasts none."""
        return ()

    @property
    def network_options(self) -> dict[str, Any]:
        """The options of the network beside its specification, as `CompactNet` takes them."""
        return {"dropout": self.dropout}

    @property
    def alarms(self) -> dict[str, Any]:
        """The settings of an anomaly detector, as `alarms.fit` takes them, {} if there is none."""
        return {}

    def rules(self, config: Whole) -> Iterator[Contradiction]:
        """The keys that contradict each other or other sections, the most telling first."""
        if self.type not in (types := recurrent_types()):
            yield ("model", "type"), f"expected one of {', '.join(types)}"
        if self.layers is None and self.hidden_size is None:
            expected = "expected the units of each layer, or [[model.layers]] in its place"
            yield ("model", "hidden_size"), f"is missing; {expected}"
        try:
            network = self.network(1, 1)
        except BundleError as e:
            key = "hidden_size" if self.layers is None else "layers"
            yield ("model", key), str(e).removeprefix("network: ")
            return
        if self.layers is not None:
            for key in ("type", "hidden_size", "num_layers"):
                if key in self.model_fields_set:
                    yield ("model", key), "has no meaning with [[model.layers]]; remove it"
        if network.whole and not self.reads_whole_sequences:
            able = " or ".join(map(repr, with_fact(TASKS, "reads_whole_sequences")))
            both = f"only task {able} reads whole sequences from both ends"
            yield ("model", "layers"), f"task is {self.task!r}, and {both}"
        for name in unread(network):
            alone = "no layer reads it, so it would be trained for nothing"
            yield ("model", "layers"), f"layer {name!r}: {alone}; read it in `inputs`, or remove it"
        if self.dropout > 0 and not read_by_stateful(network):
            none = "none of them reads another here"
            yield ("model", "dropout"), f"works between recurrent layers, and {none}; expected 0"
        fine_tuned = config.quantize is not None and config.quantize.scheme == "w8a8"
        if fine_tuned and not network.whole and (why := refused(network)):
            yield ("quantize", "scheme"), f"{why}; change the layers, or remove the section"
        if network.whole:
            yield from _trained_both_ways(network)

    @classmethod
    def elsewhere(cls, key: str, values: Mapping[str, Any]) -> str:
        owners = with_key(TASKS, key)
        return super().elsewhere(key, values) or belongs("task", owners, values["model"]["task"])


def _trained_both_ways(network: Network) -> Iterator[Contradiction]:
    """The layers that torch has no module for. PyTorch is imported for such a network alone."""
    from ..layers import module_of

    for layer in network.layers:
        try:
            module_of(layer, 1)
        except TrainingError as e:
            yield ("model", "layers"), str(e)


class Whole(Protocol):
    """A whole configuration, in which rules look for contradictions."""

    data: DataSection
    model: TaskSection
    train: TrainConfig
    quantize: QuantizeConfig | None
    augment: AugmentConfig | None
    prune: PruneConfig | None
    distill: DistillConfig | None
