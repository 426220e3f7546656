"""Which line of a configuration file is wrong, and how to say so."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, get_args

from pydantic import BaseModel, ValidationError

from edge_lstm_runtime.errors import ConfigError


class Problem:
    """Turns a key that is wrong into one ConfigError line."""

    def __init__(
        self,
        root: type[BaseModel],
        path: Path,
        text: str,
        values: dict[str, Any],
        set_keys: list[tuple[str, ...]],
    ):
        self._root = root
        self._path, self._lines, self._values, self._set_keys = (
            path,
            text.splitlines(),
            values,
            set_keys,
        )

    def of_pydantic(self, error: ValidationError) -> NoReturn:
        # An unknown key comes first: misspelled, it is why another one is missing.
        first = min(error.errors(include_url=False), key=lambda e: e["type"] != "extra_forbidden")
        # Of a union's branches the location names one more part, such as "float": keep what the file has.
        key: tuple[str, ...] = ()
        fields: Any = self._root
        for part in first["loc"]:
            if (
                not isinstance(part, str)
                or not isinstance(fields, type)
                or not issubclass(fields, BaseModel)
            ):
                break
            key += (part,)
            fields = _section(fields, part) if part in fields.model_fields else None
        if first["type"] == "extra_forbidden":
            self.unknown(key)
        message = (
            first["msg"]
            .replace("Input should be", "expected")
            .replace("Field required", "is missing")
        )
        if key[-1:] in (("val",), ("test",)) and key[:2] == ("data", "split"):
            message = "expected a fraction between 0 and 1, or a list of groups"
        if first["type"] == "model_type":
            message = "expected a section"
        self.stop(key, message)

    def unknown(self, key: tuple[str, ...]) -> NoReturn:
        model: Any = self._root
        for part in key[:-1]:
            model = _section(model, part)
        known = [name for name in model.model_fields if name != "folder"]
        near = difflib.get_close_matches(key[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
        what = (
            f"[{'.'.join(key[:-1])}] has no key" if len(key) > 1 else "there is no section or key"
        )
        raise ConfigError(f"{self._where(key)}: {what} {key[-1]!r}; {hint}")

    def stop(self, key: tuple[str, ...], expected: str) -> NoReturn:
        value: Any = self._values
        for part in key:
            value = value.get(part, None) if isinstance(value, Mapping) else None
        *sections, name = key
        shown = (
            f"{name} = {json.dumps(value, default=str)}"
            if value is not None and not isinstance(value, Mapping)
            else name
        )
        prefix = f"[{'.'.join(sections)}] " if sections else ""
        raise ConfigError(f"{self._where(key)}: {prefix}{shown}: {expected}")

    def _where(self, key: tuple[str, ...]) -> str:
        if key in self._set_keys:
            return f"--set {'.'.join(key)}"
        section: tuple[str, ...] = ()
        line_of_section = 1
        for number, line in enumerate(self._lines, start=1):
            if header := re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line):
                section = tuple(part.strip().strip("\"'") for part in header[1].split("."))
                if section == key:
                    return f"{self._path}:{number}"
                if section == key[: len(section)] and section:
                    line_of_section = number
            elif pair := re.match(r"\s*([\w.\"'-]+)\s*=", line):
                full = section + tuple(part.strip("\"'") for part in pair[1].split("."))
                if full == key:
                    return f"{self._path}:{number}"
                if full == key[: len(full)]:  # an inline table
                    line_of_section = number
        return f"{self._path}:{line_of_section}"


def _section(model: type[BaseModel], key: str) -> Any:
    """The type of a key's value; of a section that may be left out, the section's."""
    annotation = model.model_fields[key].annotation
    return next(
        (
            part
            for part in get_args(annotation)
            if isinstance(part, type) and issubclass(part, BaseModel)
        ),
        annotation,
    )
