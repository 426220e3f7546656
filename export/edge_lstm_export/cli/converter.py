"""Show, make or remove the environment of a vendor's converter."""

from __future__ import annotations

import argparse

from edge_lstm_runtime import ConfigError, ConversionError

from ..npu.targets import DEFAULT, vendor_of
from ..npu.vendor import VENDORS, Vendor, vendor, vendors
from ..npu.worker import making
from ..npu.worker.environment import Environment
from ._shared import say

GOES_ON = True  # the work is more than its output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "The environment that holds the converter of an NPU's vendor, such as rknn-toolkit2: "
        "show it, make it before it is needed, or remove it.\n"
        "An export makes it on first use, and again when it finds it damaged; "
        "once made it needs no network."
    )
    parser.epilog = (
        "examples:\n"
        "  edge-lstm converter           where it is, its size, and whether it is whole\n"
        "  edge-lstm converter make      make it now, as before going offline\n"
        "  edge-lstm converter remove    remove it, and those of earlier versions\n"
        "EDGE_LSTM_CACHE names the folder that holds it. "
        "Proxy, index and wheel folder: as for pip or uv (PIP_*, UV_*, pip's files).\n"
        "EDGE_LSTM_CONVERTER_MEMORY_GB limits the memory of a conversion (default: 8)."
    )
    parser.add_argument(
        "action",
        nargs="?",
        choices=("status", "make", "remove"),
        default="status",
        help="what to do (default: %(default)s)",
    )
    parser.add_argument(
        "--vendor",
        metavar="NAME",
        help=f"whose converter (default: that of {DEFAULT}); one of {', '.join(VENDORS.names())}",
    )


def main(arguments: argparse.Namespace) -> int:
    of = vendor_of(DEFAULT) if arguments.vendor is None else vendor(arguments.vendor)
    if reason := of.unsupported_reason():
        raise ConversionError(f"there is no converter here: {reason}")
    environment = _environment(of)
    if arguments.action == "make":
        making.interpreter(environment, say)
    elif arguments.action == "remove":
        removed = making.remove(environment, say)
        print(
            "\n".join(f"removed {path}" for path in removed)
            or f"nothing to remove: {environment.home} is not there"
        )
        return 0
    found = environment.state()
    option = environment.option
    print(f"folder         {found.home}")
    if found.damage is None:
        print("state          ready")
    elif found.damage:
        print(f"state          damaged: {found.damage}; the next export makes it again")
    else:
        make = f"`edge-lstm converter make{option}`"
        print(f"state          not made; the first export makes it, or {make}")
    if found.bytes:
        print(f"size           {found.bytes / 1e9:.2f} GB")
    if found.tool:
        print(f"python         {found.python}\n{environment.tool:<15}{found.tool}")
    for other in environment.others():
        print(
            f"not in use     {other} "
            f"(of another version; `edge-lstm converter remove{option}` removes it too)"
        )
    return 0


def _environment(of: Vendor) -> Environment:
    if of.environment is None:
        others = ", ".join(one.name for one in vendors() if one.environment is not None)
        raise ConfigError(f"the converter of {of.name!r} has no environment; those of: {others}")
    return of.environment
