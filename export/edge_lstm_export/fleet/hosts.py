"""A board: how it is reached, and what is asked of it there."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edge_lstm_runtime.errors import ConfigError
from edge_lstm_runtime.near import did_you_mean
from edge_lstm_runtime.shown import in_a_line, is_plain

# Of an address. A shell's own signs are not among them: ssh hands the name on to a ProxyCommand.
ADDRESS = re.compile(r"[\w.@:%+/\[\]][\w.@:%+/\[\]-]*")


@dataclasses.dataclass(frozen=True)
class Host:
    """A board. Its fields are the keys of an inventory, and options of the command.

    address: what ssh takes, such as user@host or a name in ~/.ssh/config. command: of the runtime
    there, as the board's shell reads it. to, trusted, remember: paths on the board.
    """

    name: str
    address: str
    to: str
    port: int | None = None
    command: str = "edge-lstm"
    trusted: str | None = None
    remember: str | None = None
    allow_downgrade: bool = False
    reload: str | None = None
    health: str | None = None
    watch: float | None = None
    ssh_options: tuple[str, ...] = ()


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and is_plain(value)


def _port(value: Any) -> bool:
    return type(value) is int and 0 < value < 65536


def _seconds(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= 86400


def _options(value: Any) -> bool:
    good = isinstance(value, list) and all(_text(each) for each in value)
    return good and not any(each.startswith("-") for each in value)


def _address(value: Any) -> bool:
    return isinstance(value, str) and ADDRESS.fullmatch(value) is not None


TEXT = (_text, "a text in one line")
CHECKS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "name": TEXT,
    "address": (_address, "user@host, or a name in ~/.ssh/config, that does not begin with '-'"),
    "to": TEXT,
    "port": (_port, "a whole number from 1 to 65535"),
    "command": TEXT,
    "trusted": TEXT,
    "remember": TEXT,
    "allow_downgrade": (lambda value: isinstance(value, bool), "true or false"),
    "reload": TEXT,
    "health": TEXT,
    "watch": (_seconds, "seconds, 0 to 86400"),
    "ssh_options": (_options, 'a list of texts such as "ConnectTimeout=5"'),
}


def check_keys(values: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    """Raise ConfigError for a key that is not known, or whose value is none for it."""
    for key, value in values.items():
        if key not in known:
            raise ConfigError(
                f"{where}: there is no key {in_a_line(key)!r}; {did_you_mean(key, known)}known: "
                f"{', '.join(known)}"
            )
        good, expected = CHECKS[key]
        if not good(value):
            raise ConfigError(f"{where}: {key} is {value!r}; expected {expected}")


def host_from(values: Mapping[str, Any], where: str) -> Host:
    """A host of checked values. Raises ConfigError if the folder on the board is missing."""
    if "to" not in values:
        raise ConfigError(
            f"{where}: nothing says which folder on the board the bundle goes to; give --to FOLDER"
            ", or `to` in the inventory"
        )
    options = tuple(values.get("ssh_options", ()))
    return Host(**{**values, "ssh_options": options})


def check_apart(hosts: Sequence[Host]) -> None:
    """Raise ConfigError if two have the same name, or are one folder of one board."""
    seen: dict[object, Host] = {}
    for host in hosts:
        for key in (host.name, (host.address, host.port, host.to)):
            if key in seen:
                same = "this name" if key == host.name else "the same address, port and folder"
                raise ConfigError(f"{host.name}: {seen[key].name} has {same}; name each board once")
            seen[key] = host
