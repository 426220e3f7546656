"""Show, make or remove the environment of the vendor's converter."""

from __future__ import annotations

import argparse

from edge_lstm_runtime import ConversionError

from ..npu.rknn import environment
from ._shared import say

GOES_ON = True  # the work is more than its output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "The environment that holds the vendor's converter, rknn-toolkit2: "
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


def main(arguments: argparse.Namespace) -> int:
    if reason := environment.unsupported_reason():
        raise ConversionError(f"there is no converter here: {reason}")
    if arguments.action == "make":
        environment.python(say)
    elif arguments.action == "remove":
        removed = environment.remove(say)
        print(
            "\n".join(f"removed {path}" for path in removed)
            or f"nothing to remove: {environment.location()} is not there"
        )
        return 0
    found = environment.state()
    print(f"folder         {found.home}")
    if found.damage is None:
        print("state          ready")
    elif found.damage:
        print(f"state          damaged: {found.damage}; the next export makes it again")
    else:
        print("state          not made; the first export makes it, or `edge-lstm converter make`")
    if found.bytes:
        print(f"size           {found.bytes / 1e9:.2f} GB")
    if found.toolkit:
        print(f"python         {found.python}\nrknn-toolkit2  {found.toolkit}")
    for other in environment.others():
        print(
            f"not in use     {other} "
            "(of another version; `edge-lstm converter remove` removes it too)"
        )
    return 0
