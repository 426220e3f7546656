"""The logger "edge_lstm", for processes that may have no `logging`: a board loads it in 2 ms."""

from __future__ import annotations

import sys


def info(text: str, *values: object) -> None:
    """A remark. Nobody listens to remarks unless something has imported `logging`."""
    if logging := sys.modules.get("logging"):
        logging.getLogger("edge_lstm").info(text, *values, stacklevel=2)


def warning(text: str, *values: object) -> None:
    """Shown on standard error unless the program says otherwise."""
    import logging  # here: see above

    logging.getLogger("edge_lstm").warning(text, *values, stacklevel=2)
