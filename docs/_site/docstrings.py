"""An extension of Griffe: docstrings as Markdown.

In a terminal a docstring is read as it is: a line "name: text" for each argument, and examples with
">>>". In the site the lines of a paragraph would run together.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

# "data: ...", "val, test: ...", or in columns "x       (T, C) float64".
ITEM = re.compile(r"(?P<names>[A-Za-z_]\w*(?:, [A-Za-z_]\w*)*)(?:: |\s{2,})(?P<text>\S.*)")
PAGE = re.compile(r"docs/([\w-]+\.md)")
SENTENCE = re.compile(r"(Raises|Returns|Yields|Assigning|Warns) ")  # begins a paragraph of its own


class Docstrings(griffe.Extension):
    """Rewrites each docstring that is shown."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(docstring: str) -> str:
    """Items as a list, examples as blocks of code."""
    blocks = re.split(r"\n\s*\n", docstring.strip())
    return "\n\n".join(_example(b) if b.startswith(">>>") else _paragraph(b) for b in blocks)


def _example(block: str) -> str:
    return f"```pycon\n{block}\n```"


def _paragraph(block: str) -> str:
    if block.startswith("    "):  # a formula, or code
        return block
    lines: list[str] = []
    in_list = False
    for line in block.splitlines():
        item = ITEM.match(line)
        if item:
            lines += ([] if in_list or not lines else [""]) + [
                f"- **{item['names']}**: {item['text']}"
            ]
            in_list = True
        elif in_list and SENTENCE.match(line):
            lines += ["", line]
            in_list = False
        else:
            lines.append(f"    {line.strip()}" if in_list else line)
    return PAGE.sub(r"[\g<0>](../\1)", "\n".join(lines))
