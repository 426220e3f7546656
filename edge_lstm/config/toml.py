"""Values as they are written in TOML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from edge_lstm_runtime.shown import is_plain


def literal(value: Any) -> str:
    """A value in TOML: a text with a backslash in single quotes, because it is a pattern.

    JSON's numbers, booleans and strings are TOML's too. Its objects are not. And TOML has no
    surrogate pairs, and no DEL outside of an escape.
    """
    if isinstance(value, str) and "\\" in value and "'" not in value and is_plain(value):
        return f"'{value}'"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_name(k)} = {literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(literal, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _name(key: str) -> str:
    bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if bare else json.dumps(key, ensure_ascii=False).replace("\x7f", "\\u007f")
