"""A whole configuration: the class of each section, and which keys go together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import (
    Field,
    SerializeAsAny,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from edge_lstm_runtime.errors import ConfigError
from edge_lstm_runtime.registry import Registry
from edge_lstm_runtime.shown import counted

from ..data.sources import SOURCES
from ..tasks import TASKS
from .base import Contradiction, Section, belongs, with_fact
from .common import AugmentConfig, DistillConfig, FrontEndConfig, PruneConfig, QuantizeConfig
from .renamed import current
from .search import SearchConfig
from .sections import MAX_LAYERS, Asked, DataSection, TaskSection, TrainConfig
from .toml import literal

OPTIONAL = ("front_end", "augment", "distill", "prune", "quantize")  # sections


def _chosen(registry: Registry, key: str, values: Mapping[str, Any]) -> type[Section]:
    """The class of the section whose `key` names a source or a task."""
    name = values.get(key)
    error: InitErrorDetails = {"type": "missing", "loc": (key,), "input": values}
    if name is not None:
        error = {"type": "string_type", "loc": (key,), "input": name}
    if isinstance(name, str):
        try:
            section: type[Section] = registry.load(name).Section
            return section
        except ConfigError as e:
            error["type"] = PydanticCustomError("choice", "{message}", {"message": str(e)})
    raise ValidationError.from_exception_data(key, [error])


def _by(registry: Registry, key: str) -> WrapValidator:
    """The section is of the class that its `key` names."""

    def validate(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        if isinstance(value, Mapping):
            value = _chosen(registry, key, value).model_validate(value)
        return handler(value)

    return WrapValidator(validate)


class Config(Section):
    """A whole configuration.

    folder: the file's. Relative data paths are looked for there first.
    search: no part of a run, which neither keeps nor compares it.

    >>> import edge_lstm as el
    >>> config = el.load_config("mine.toml")
    >>> config
    Config(classify, source csv, lstm 8, 12 epochs)
    >>> config.data.channels, config.train.batch_size
    (('ax', 'ay', 'az'), 32)
    >>> print(config.to_toml().splitlines()[0])
    [data]
    >>> el.Config.from_dict(config.to_dict(), config.folder) == config
    True
    >>> config.data.path, config.located()["data"]["path"].endswith("/mine.csv")
    ('mine.csv', True)
    >>> list(config.rules())  # no keys contradict each other
    []
    >>> config.asked.targets  # what a source's reader is told of the other sections
    ()
    """

    data: Annotated[SerializeAsAny[DataSection], _by(SOURCES, "source")]
    model: Annotated[SerializeAsAny[TaskSection], _by(TASKS, "task")]
    train: SerializeAsAny[TrainConfig]
    quantize: QuantizeConfig | None = None
    front_end: FrontEndConfig | None = None
    augment: AugmentConfig | None = None
    prune: PruneConfig | None = None
    distill: DistillConfig | None = None
    search: SearchConfig | None = Field(default=None, exclude=True)
    folder: str = Field(default=".", exclude=True)

    @field_validator("train", mode="wrap")
    @classmethod
    def _of_task(
        cls, value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> Any:
        if not isinstance(value, Mapping):
            return handler(value)
        if "model" not in info.data:  # its own mistake comes first
            return TrainConfig.model_construct()
        return info.data["model"].Train.model_validate(value)

    def __repr__(self) -> str:
        model = self.model
        layers = [f"{model.type} {model.hidden_size}"] * model.num_layers
        if model.layers is not None:
            layers = [str(layer.get("type")) for layer in model.layers]
        epochs = counted(self.train.epochs, "epoch")
        return f"Config({model.task}, source {self.data.source}, {' -> '.join(layers)}, {epochs})"

    @property
    def asked(self) -> Asked:
        """What the other sections tell the reader of the data."""
        front_end = self.front_end.front_end() if self.front_end is not None else None
        model = self.model
        return Asked(
            self.folder, model.target_columns, front_end, model.steps_ahead, model.unlabelled_rows
        )

    def rules(self) -> Iterator[Contradiction]:
        """The keys that contradict each other, the most telling first."""
        if self.front_end is not None and not self.data.needs_front_end:
            sound = with_fact(SOURCES, "needs_front_end")
            yield ("front_end",), belongs("source", sound, self.data.source, "the section")
        yield from self._of_other_tasks()
        yield from self.data.rules(self)
        if self.front_end is not None:
            yield from self.front_end.rules()
        elif self.data.needs_front_end:
            keys = "sample_rate, frame_length and hop_length"
            source = f"for source {self.data.source!r}"
            yield ("front_end",), f"expected a section with {keys}, {source}"
        yield from self.model.rules(self)
        yield from self.data.split.rules()
        yield from self.train.rules(self)
        if self.prune is not None:
            yield from self.prune.rules(self.model.units, refit=self.train.refit)
        if self.distill is not None:
            yield from self.distill.rules(self.model.units, listed=self.model.layers is not None)
        if self.search is not None:
            yield from self.search.rules(
                most_layers=MAX_LAYERS, windows=self.data.window is not None
            )

    def _of_other_tasks(self) -> Iterator[Contradiction]:
        """The keys that other tasks take and this one doesn't."""
        for name in ("data", *OPTIONAL):
            if (section := getattr(self, name)) is None:
                continue
            for key in section.FOR_TASKS:
                if key in section.model_fields_set - self.model.USES:
                    owners = [t for t in TASKS.names() if key in TASKS.load(t).Section.USES]
                    yield (name, key), belongs("task", owners, self.model.task)

    def to_dict(self) -> dict[str, Any]:
        """All values, defaults included, as plain lists, numbers and text. Without `folder`."""
        values: dict[str, Any] = self.model_dump(mode="json", exclude_none=True)
        return values

    def located(self) -> dict[str, Any]:
        """As `to_dict`, with absolute paths to what is beside the configuration."""
        return self._with_paths(self.to_dict())

    def _with_paths(self, tables: dict[str, Any]) -> dict[str, Any]:
        paths = [("data", key) for key in self.data.PATHS] + [("distill", "teacher")]
        for name, key in paths:
            path = tables.get(name, {}).get(key)
            if isinstance(path, list):
                tables[name][key] = [self._absolute(each) for each in path]
            elif path is not None:
                tables[name][key] = self._absolute(path)
        return tables

    def to_toml(self) -> str:
        """The values that were set, as a file that `load_config` reads from any folder."""
        values: dict[str, Any] = self.model_dump(mode="json", exclude_unset=True)
        split = values["data"].pop("split")
        tables = {"data": values["data"], "data.split": split, "model": values["model"]}
        names = ("train", *OPTIONAL)
        tables |= {name: values[name] for name in names if values.get(name) is not None}
        tables = self._with_paths(tables)
        return "\n".join(
            f"[{name}]\n" + "".join(f"{key} = {literal(v)}\n" for key, v in table.items())
            for name, table in tables.items()
        )

    def _absolute(self, path: str) -> str:
        """As it is, if it is not beside the configuration."""
        beside = Path(self.folder) / path
        return str(beside.resolve()) if beside.exists() else path

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], folder: str) -> Config:
        """The inverse of `to_dict`, of an older version's too."""
        values = current(values, section_classes(values))
        return cls.model_validate(frozen({**values, "folder": folder}))


def section_classes(values: Mapping[str, Any]) -> dict[str, type[Section]]:
    """The classes of [data], [model] and [train] for these values, fewer if some are wrong."""
    found: dict[str, type[Section]] = {}
    for name, key, registry in (("data", "source", SOURCES), ("model", "task", TASKS)):
        try:
            found[name] = _chosen(registry, key, values.get(name, {}))
        except (ValidationError, AttributeError):  # which are told in another place
            continue
    if "model" in found:
        found["train"] = found["model"].Train  # type: ignore[attr-defined]
    return found


def section_fields(name: str) -> frozenset[str]:
    """The keys of a section that may be left out."""
    kinds = get_args(Config.model_fields[name].annotation)
    return frozenset(next(k for k in kinds if issubclass(k, Section)).model_fields)


def frozen(value: Any) -> Any:
    """Lists as tuples: strict validation takes no list for a tuple."""
    if isinstance(value, Mapping):
        return {k: frozen(v) for k, v in value.items()}
    return tuple(frozen(v) for v in value) if isinstance(value, list | tuple) else value
