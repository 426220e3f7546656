"""The parser of options: a mistake is one line, with the nearest name."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from ..errors import ConfigError
from ..near import did_you_mean


class Parser(argparse.ArgumentParser):
    def __init__(self, prog: str, **options: Any):
        super().__init__(prog, formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        """Raises ConfigError in place of the exit."""
        wrong = message.removeprefix("unrecognized arguments: ")
        if wrong != message:
            first = wrong.replace("=", " ").partition(" ")[0]  # "" if an argument is empty
            hint = did_you_mean(first, self._option_string_actions, "?")
            message += f"; {hint}" if hint else ""
        raise ConfigError(f"{message}; see `{self.prog} --help`")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        known = ", ".join(map(str, action.choices))
        hint = did_you_mean(str(value), action.choices)
        raise argparse.ArgumentError(
            action, f"there is no {value!r}; {hint}expected one of {known}"
        )
