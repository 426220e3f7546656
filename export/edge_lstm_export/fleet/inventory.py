"""The boards that a command is for: an inventory in TOML, names, or addresses."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_lstm_runtime.errors import ConfigError
from edge_lstm_runtime.near import did_you_mean
from edge_lstm_runtime.shown import in_a_line

from .hosts import CHECKS, Host, check_apart, check_keys, host_from

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_BYTES = 1 << 20
FOR_ALL = [key for key in CHECKS if key not in ("name", "address")]


def asked_hosts(names: Sequence[str], file: Path | None, given: Mapping[str, Any]) -> list[Host]:
    """The hosts in the order of the file, or of the names.

    names: addresses without a file. With one, the hosts of the file that are meant, none for all.
    given: keys of the command line, which come before those of the file.
    Raises ConfigError.
    """
    check_keys(given, FOR_ALL, "an option")
    if file is None:
        if not names:
            raise ConfigError(
                "there is no board to ask; give HOST..., such as pi@10.0.0.7, or --inventory FILE"
            )
        tables = [({"name": name, "address": name}, f"the board {name!r}") for name in names]
        for table, where in tables:
            check_keys(table, ("name", "address"), where)
    else:
        tables = read_inventory(file)
        known = [str(table["name"]) for table, _ in tables]
        for name in names:
            if name not in known:
                raise ConfigError(
                    f"{file} has no host {in_a_line(name)!r}; {did_you_mean(name, known)}known: "
                    f"{', '.join(known)}"
                )
        tables = [(table, where) for table, where in tables if not names or table["name"] in names]
    hosts = [host_from({**table, **given}, where) for table, where in tables]
    check_apart(hosts)
    return hosts


def read_inventory(file: Path) -> list[tuple[dict[str, Any], str]]:
    """The keys of each host, defaults included, and how to name its place in a message.

    Raises ConfigError.
    """
    values = _parsed(file)
    for key in values:
        if key not in ("defaults", "hosts"):
            raise ConfigError(
                f"{file}: there is no table {in_a_line(key)!r}; expected [defaults] and [[hosts]]"
            )
    defaults = values.get("defaults", {})
    if not isinstance(defaults, dict):
        raise ConfigError(f"{file}: defaults is {defaults!r}; expected a table, [defaults]")
    check_keys(defaults, FOR_ALL, f"{file}, [defaults]")
    hosts = values.get("hosts", [])
    if not isinstance(hosts, list) or not hosts:
        raise ConfigError(f"{file} has no hosts; expected at least one table [[hosts]]")
    found = []
    names = set()
    for number, host in enumerate(hosts, 1):
        where = f"{file}, host {number}"
        if not isinstance(host, dict):
            raise ConfigError(f"{where} is {host!r}; expected a table, [[hosts]]")
        check_keys(host, list(CHECKS), where)
        if "address" not in host:
            raise ConfigError(f"{where} has no address; expected {CHECKS['address'][1]}")
        merged = {"name": host["address"], **defaults, **host}
        if merged["name"] in names:
            raise ConfigError(
                f"{where}: the name {merged['name']!r} is taken; give each host a name of its own"
            )
        names.add(merged["name"])
        found.append((merged, f"{where} ({merged['name']})"))
    return found


def _parsed(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
    except (OSError, ValueError) as e:
        raise ConfigError(f"can't read {file}: {getattr(e, 'strerror', e)}") from e
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{file} has more than {MAX_BYTES} bytes; expected an inventory in TOML")
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except RecursionError as e:
        raise ConfigError(f"{file}: not valid TOML: it is nested too deeply") from e
    except ValueError as e:  # of TOML, of UTF-8, of a number with too many digits
        raise ConfigError(f"{file}: not valid TOML: {e}") from e
