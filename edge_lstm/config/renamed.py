"""Keys of earlier versions: their names now, and how an old run's configuration is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

RENAMED: dict[tuple[str, ...], tuple[str, str]] = {
    ("data", "windows"): ("data", "known_anomalies"),
    ("data", "train"): ("data", "train_path"),
    ("data", "test"): ("data", "test_path"),
    ("data", "target"): ("model", "targets"),
    ("data", "target_cap"): ("model", "target_cap"),
}

# Each section once had the keys of all sources and all tasks, even those without a meaning.
FLAT = {
    "data": (
        *("path", "train_path", "test_path", "rul", "name", "channels", "time", "time_back"),
        *("label", "group", "separator", "columns", "missing", "stride", "short", "lower", "keep"),
        *("first", "known_anomalies", "dt", "pattern", "test_pattern"),
    ),
    "model": (
        *("bidirectional", "targets", "horizon", "residual", "embedding", "false_alarms"),
        *("smoothing", "target_cap"),
    ),
    "train": ("label_smoothing", "loss_steps", "carry", "loss"),
}


def called_now(key: tuple[str, ...], section: type[BaseModel]) -> str:
    """The answer to a key of an earlier version, "" if this section could not have it.

    section: the one in which the key was found.
    """
    now = RENAMED.get(key)
    if now is None or (now[0] == key[0] and now[1] not in section.model_fields):
        return ""
    if now[0] == key[0]:
        return f"is called `{now[1]}` now"
    return f"stands in [{now[0]}] now" + (f", as `{now[1]}`" if now[1] != key[1] else "")


def current(values: Mapping[str, Any], classes: Mapping[str, type[BaseModel]]) -> dict[str, Any]:
    """A configuration as `Config.to_dict` of this version gives it.

    values: those of this version or an earlier one. classes: of the sections whose keys depend on
    the source or the task.
    """
    now = {k: dict(v) if isinstance(v, Mapping) else v for k, v in values.items()}
    for (section, name), (new_section, new_name) in RENAMED.items():
        if (
            section in classes
            and name in now[section].keys() - classes[section].model_fields.keys()
        ):
            now[new_section][new_name] = now[section].pop(name)
    for section, found in classes.items():
        for name in set(FLAT[section]) - set(found.model_fields):
            now[section].pop(name, None)
    return now
