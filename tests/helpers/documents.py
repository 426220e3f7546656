"""The commands that a document prints, for a shell to run."""

from __future__ import annotations

import re
from pathlib import Path

ON_BOARD = "# on the board\n"  # a block that begins so is for another machine
# Of a login shell: none of the tests' own environment, and not the Python that runs them.
EMPTY = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": str(Path.home()),
}


def blocks(text: str) -> list[tuple[str, str]]:
    """(language, code) of every block of a document that is run."""
    return re.findall(r"^```(sh|python)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
