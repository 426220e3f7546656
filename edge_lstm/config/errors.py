"""The line of a configuration file that is wrong, and how to say so."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, get_args

from pydantic import ValidationError

from edge_lstm_runtime.errors import ConfigError
from edge_lstm_runtime.near import did_you_mean

from .base import Section
from .renamed import RENAMED, called_now
from .schema import Config, section_classes

Key = tuple[str, ...]


class Problem:
    """Turns a wrong key into a ConfigError of one line.

    values: the file's, with those of --set in their places. path, text: the file and its content,
    None and "" if there is no file. told: keys -> how the user gave them, such as "--set KEY".
    """

    def __init__(
        self, values: dict[str, Any], told: Mapping[Key, str], path: Path | None, text: str = ""
    ):
        self.path = path
        self._lines = text.splitlines()
        self._values = values
        self._told = told
        self._classes = section_classes(values)

    def of_pydantic(self, error: ValidationError) -> NoReturn:
        # An unknown key comes first: if it is misspelled, another one is missing because of it.
        errors = error.errors(include_url=False)
        first = min(errors, key=lambda e: e["type"] != "extra_forbidden")
        # For the branches of a union, the location ends in a part such as "float" that is not in
        # the file. Drop it.
        key: Key = ()
        fields: Any = Config
        table: tuple[Key, int] | None = None  # the key of a list of tables, and which of them
        for part in first["loc"]:
            if isinstance(part, int) and _is_section(fields):
                table = key, part
                continue
            if not isinstance(part, str) or not _is_section(fields):
                break
            key += (part,)
            fields = self._type(fields, part) if part in fields.model_fields else None
        if table is not None:
            listed, number = table
            self._in_table(listed, number, key[len(listed) :], first)
        if first["type"] == "extra_forbidden":
            self.unknown(key)
        message = first["msg"].replace("Input should be", "expected")
        if first["type"] == "literal_error":
            choices = re.findall(r"'([^']*)'", message)
            hint = did_you_mean(str(first["input"]), choices, "?")
            message += f"; {hint}" if hint else ""
        if first["type"] == "missing":
            about = self._type_of(key[:-1]).model_fields[key[-1]].description
            message = f"is missing; expected {about}" if about else "is missing"
        if key[-1:] in (("val",), ("test",)) and key[:2] == ("data", "split"):
            message = "expected a fraction between 0 and 1, or a list of groups"
        if len(first["loc"]) > len(key):  # one branch of several, or an item
            about = self._type_of(key[:-1]).model_fields[key[-1]].description
            message = f"expected {about}" if about else message
        if first["type"] == "model_type":
            message = "expected a section"
        self.stop(key, message)

    def _in_table(self, key: Key, number: int, inner: Key, error: Mapping[str, Any]) -> NoReturn:
        """key: of a list of tables. number: of one of them, from 0. inner: the wrong key in it."""
        message = error["msg"].replace("Input should be", "expected")
        if error["type"] == "extra_forbidden":
            known = ", ".join(self._type_of(key).model_fields)
            message = f"there is no such key; known here: {known}"
        elif error["type"] == "missing":
            message = "is missing"
        self.stop(key, ": ".join([f"table {number + 1}", *inner, message]))

    def unknown(self, key: Key) -> NoReturn:
        section = self._type_of(key[:-1])
        name = RENAMED.get(key, key)[-1]
        if answer := called_now(key, section) or section.elsewhere(name, self._values):
            self.stop(key, answer)
        known = [name for name in section.model_fields if name != "folder"]
        hint = did_you_mean(key[-1], known, "?") or f"known here: {', '.join(known)}"
        what = (
            f"[{'.'.join(key[:-1])}] has no key" if len(key) > 1 else "there is no section or key"
        )
        raise ConfigError(f"{self._where(key)}: {what} {key[-1]!r}; {hint}")

    def stop(self, key: Key, expected: str) -> NoReturn:
        value: Any = self._values
        for part in key:
            value = value.get(part, None) if isinstance(value, Mapping) else None
        *sections, name = key
        tables = isinstance(value, tuple | list) and any(isinstance(v, Mapping) for v in value)
        if value is not None and not isinstance(value, Mapping) and not tables:
            name = f"{name} = {_shown(value)}"
        prefix = f"[{'.'.join(sections)}] " if sections else ""
        raise ConfigError(f"{self._where(key)}: {prefix}{name}: {expected}")

    def _type_of(self, key: Key) -> type[Section]:
        found: Any = Config
        for part in key:
            found = self._type(found, part)
        section: type[Section] = found
        return section

    def _type(self, section: type[Section], key: str) -> Any:
        """The type of a key's value. For a section that may be left out, and for a list of
        sections, it is the section's."""
        if section is Config and key in self._classes:
            return self._classes[key]
        annotation = section.model_fields[key].annotation
        return _section_in(annotation) or annotation

    def given(self, key: Key) -> Key:
        """The key as the user gave it: it may be of a table that was given at once."""
        return next((k for n in range(len(key), 0, -1) if (k := key[:n]) in self._told), key)

    def _where(self, key: Key) -> str:
        if (given := self.given(key)) in self._told:
            return self._told[given]
        if self.path is None:
            return "configuration"
        section: Key = ()
        line_of_section = 1
        for number, line in enumerate(self._lines, start=1):
            if header := re.match(r"\s*\[{1,2}\s*([^\[\]]+?)\s*\]", line):
                section = tuple(part.strip().strip("\"'") for part in header[1].split("."))
                if section == key:
                    return f"{self.path}:{number}"
                if section == key[: len(section)] and section:
                    line_of_section = number
            elif pair := re.match(r"\s*([\w.\"'-]+)\s*=", line):
                full = section + tuple(part.strip("\"'") for part in pair[1].split("."))
                if full == key:
                    return f"{self.path}:{number}"
                if full == key[: len(full)]:  # an inline table
                    line_of_section = number
        return f"{self.path}:{line_of_section}"


def _shown(value: Any) -> str:
    if isinstance(value, float):  # TOML has inf and nan, and JSON has neither
        return str(value)
    try:
        return json.dumps(value, default=str)
    except ValueError:  # Python's limit of digits
        return "..."


def _is_section(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Section)


def _section_in(annotation: Any) -> type[Section] | None:
    if _is_section(annotation):
        section: type[Section] = annotation
        return section
    return next(filter(None, map(_section_in, get_args(annotation))), None)
