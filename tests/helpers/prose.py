"""A text to learn, and its characters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

PHRASE = "The cat -- sat, on THE mat;\n\nthe rat sat too! "


def write_prose(folder: Path) -> str:
    """prose.txt, and what LANGUAGE leaves of it, letter by letter."""
    text = PHRASE * 20
    (folder / "prose.txt").write_text(text)
    left = ""
    for character in text.lower():
        if character in "aehmnorst":
            left += character
        elif not left.endswith(" "):
            left += " "
    return left


def decoded(classes: tuple[str, ...], x: np.ndarray[Any, Any]) -> str:
    return "".join(classes[int(k)] for k in x[:, 0])
