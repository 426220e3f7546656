"""The outcome of a row of operators.toml, of a result of convert_many."""

from __future__ import annotations

import re
from typing import Any


def measured_outcome(result: dict[str, Any]) -> str:
    """Of a result of convert_many."""
    if result["outcome"] != "ok":
        return "crash" if result["outcome"].startswith("SIG") else "refused"
    if errors(result) or not result["operators"]:
        return "error"
    return "cpu" if result["cpu"] else "npu"


def errors(result: dict[str, Any]) -> list[str]:
    lines = [re.sub(r"^(RKNN: \[[0-9:.]+\]|\w+:) ", "", line) for line in result["errors"]]
    return [line for line in lines if not line.startswith(("Traceback", "rknn-toolkit2 version"))]


def said(result: dict[str, Any]) -> str:
    """The converter's words, of which the last line of an exception says most."""
    lines = [line.strip() for line in result["outcome"].splitlines() if line.strip()]
    words = lines[-1] if lines and result["outcome"] != "ok" else ""
    if words.startswith("SIG") or words.endswith("returned -1") or not words:
        words = " ".join(
            filter(None, [words if words.startswith("SIG") else "", *errors(result)[:1]])
        )
    words = re.sub(r"^[\w.]*\.(\w+): ", r"\1: ", words)
    words = "".join(c if " " <= c <= "~" else "?" for c in words)
    return words if len(words) <= 90 else words[:90].rsplit(" ", 1)[0] + " ..."
