"""Keywords as keys of a configuration: epochs=3 for [train] epochs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edge_lstm_runtime.errors import ConfigError
from edge_lstm_runtime.near import did_you_mean

from ..config.common import SplitConfig
from ..config.schema import OPTIONAL, section_fields
from ..data.sources import SOURCES
from ..tasks import TASKS

Key = tuple[str, ...]
SPLIT = ("data", "split")
# A keyword can be a whole section, as a dict.
SECTIONS: dict[str, Key] = {
    **{name: (name,) for name in ("data", "model", "train", *OPTIONAL)},
    "split": SPLIT,
}
FIXED = {"source", "task", "split", "path", "train_path", "test_path"}  # by the data, or a section


def keyed(settings: Mapping[str, Any], source: str, task: str) -> dict[Key, Any]:
    """The keys that keywords stand for, with their values.

    A keyword is the name of a key, looked for in [model], [train], [data] and [data.split], in this
    order; or "section.key", such as "quantize.scheme"; or a section, with a dict.
    Raises ConfigError for any other, with the nearest right one.
    """
    homes = _homes(source, task)
    found: dict[Key, Any] = {}
    for name, value in settings.items():
        if "." in name:
            found[tuple(name.split("."))] = value
        elif name in SECTIONS and isinstance(value, Mapping):
            found |= {(*SECTIONS[name], str(key)): each for key, each in value.items()}
        elif name in homes:
            found[homes[name]] = value
        elif name in SECTIONS:
            raise ConfigError(
                f"fit({name}=...): is {value!r}; expected a dict of its keys, as of [{name}]"
            )
        else:
            raise ConfigError(f"fit({said(name)}=...): {_unknown(name, [*homes, *SECTIONS], task)}")
    return found


def said(name: str) -> str:
    """The keyword that `fit` takes for the key."""
    return "target" if name == "targets" else name


def nested(keys: Mapping[Key, Any]) -> dict[str, Any]:
    """The keys as a dict of sections. Raises ConfigError if a key's section is no section."""
    values: dict[str, Any] = {}
    for key, value in keys.items():
        table = values
        for section in key[:-1]:
            table = table.setdefault(section, {})
            if not isinstance(table, dict):
                raise ConfigError(f"fit: {section!r} is no section; expected section.key")
        table[key[-1]] = value
    return values


def _homes(source: str, task: str) -> dict[str, Key]:
    """Keyword -> its key."""
    model = TASKS.load(task).Section
    tables = (
        (("model",), model),
        (("train",), model.Train),
        (("data",), SOURCES.load(source).Section),
        (SPLIT, SplitConfig),
    )
    homes: dict[str, Key] = {}
    for section, table in tables:
        for name in table.model_fields:
            homes.setdefault(name, (*section, name))
    return {name: key for name, key in homes.items() if name not in FIXED}


def _unknown(name: str, known: list[str], task: str) -> str:
    if owners := list(_owners(name)):
        kinds = " and ".join(map(repr, owners))
        return f"is for task {kinds}, and task is {task!r}; leave it out"
    for section in OPTIONAL:
        if name in section_fields(section):
            return f"is a key of [{section}]; write {section}={{{name!r}: ...}}"
    if hint := did_you_mean(name, known, "?"):
        return f"there is no such option; {hint}"
    return "there is no such option; docs/python.md lists them"


def _owners(name: str) -> Iterator[str]:
    """The tasks that have the key."""
    for task in TASKS.names():
        section = TASKS.load(task).Section
        if name in section.model_fields or name in section.Train.model_fields:
            yield task
