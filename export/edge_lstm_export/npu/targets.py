"""The targets of all vendors."""

from __future__ import annotations

from collections.abc import Mapping

from edge_lstm_runtime import ConfigError
from edge_lstm_runtime.near import did_you_mean

from .target import Target
from .vendor import Vendor, broken, vendor, vendors

DEFAULT = "rk3588"  # the target of an export that names none


def targets() -> dict[str, Target]:
    """Every target that a converter knows, by name. `edge-lstm targets` prints them.

    >>> import edge_lstm_export as ex
    >>> ex.targets()["rk3588"].boards[:11]
    'Orange Pi 5'

    Raises ConfigError if two vendors have a target of the same name.
    """
    found: dict[str, Target] = {}
    for one in vendors():
        for name, target in one.targets().items():
            if name in found:
                names = f"{found[name].vendor} and {one.name}"
                raise ConfigError(f"the vendors {names} have both a target {name!r}")
            found[name] = target
    return found


def known(target: str) -> Target:
    """The row of a target. Raises ConfigError if no table has one."""
    found = targets()
    if target not in found:
        hint = did_you_mean(target, found)
        listed = "; ".join([f"known: {', '.join(found)}", *broken()])
        raise ConfigError(f"target {target!r} is unknown; {hint}{listed}")
    return found[target]


def vendor_of(target: str) -> Vendor:
    """Raises ConfigError for an unknown target."""
    return vendor(known(target).vendor)


def by_vendor(
    schemes: Mapping[str, tuple[str, ...]],
) -> list[tuple[Vendor, dict[str, tuple[str, ...]]]]:
    """The number formats of each target, the targets of a vendor together."""
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for target, formats in schemes.items():
        found.setdefault(known(target).vendor, {})[target] = formats
    return [(vendor(name), its) for name, its in found.items()]


def find(target: str, scheme: str) -> Target:
    """The row of a target that takes the scheme.

    Raises ConfigError for an unknown target, and if the target doesn't take the scheme. The error
    gives the reason if the table has one.
    """
    row = known(target)
    if scheme not in row.schemes:
        reason = row.refused.get(scheme)
        raise ConfigError(
            f"scheme {scheme!r} is not offered for {target}; "
            f"{did_you_mean(scheme, row.schemes)}expected one of {', '.join(row.schemes)}"
            + (f" ({scheme} on {target}: {reason})" if reason else "")
        )
    return row
