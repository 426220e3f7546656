"""List the NPU targets and the number formats they take."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ..npu.target import Target
from ..npu.targets import known, vendor_of
from ..npu.vendor import Vendor, broken, vendors
from ._shared import C, check_target, say

_OF_C = {  # by the titles of columns
    "target": C,
    "schemes": "float32, int8",
    "Python there": "not needed",
    "boards": "no NPU: any CPU, any microcontroller",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "List the NPU targets and the number formats that each takes; "
        "with a name, all that is known of one and from where."
    )
    parser.epilog = "examples:\n  edge-lstm targets\n  edge-lstm targets rv1106"
    parser.add_argument("name", nargs="?", metavar="NAME", help="one target")


def main(arguments: argparse.Namespace) -> int:
    if arguments.name == C:
        print(
            "c\n"
            "  C99 source for any 32- or 64-bit CPU: edge-lstm export RUN --target c -o FOLDER\n"
            "  schemes        float32, int8"
        )
        return 0
    if arguments.name is not None:
        check_target(arguments.name)
        print(_one_target(known(arguments.name)))
        return 0
    _print_all()
    return 0


def _print_all() -> None:
    """A table for each vendor, and last the C source."""
    listed = vendors()
    alone = len(listed) == 1
    for vendor in listed:
        rows = [list(target.cells()) for target in vendor.targets().values()]
        if not alone:
            print(f"{vendor.title}:\n")
        _print_table(vendor.columns, [*rows, *([_c(vendor.columns)] if alone else [])])
        if vendor.legend:
            print(f"\n{vendor.legend}")
        if not alone:
            print()
    if not alone:
        _print_table(Vendor.columns, [_c(Vendor.columns)])
    for reason in broken():
        say(reason)


def _print_table(columns: Sequence[tuple[str, int]], rows: Sequence[Sequence[str]]) -> None:
    for cells in ([title for title, _ in columns], *rows):
        padded = (f"{cell:<{width}}" for cell, (_, width) in zip(cells, columns, strict=True))
        print("".join(padded).rstrip())


def _c(columns: Sequence[tuple[str, int]]) -> list[str]:
    """The row of the C source in a table with these columns."""
    return [_OF_C.get(title, "-") for title, _ in columns]


def _one_target(t: Target) -> str:
    """All facts of the table on a target, each with its sources, then the documents."""
    table = vendor_of(t.name).table
    rows = [
        *t.hardware(),
        *(
            ("scheme" if n else "schemes", "" if n else "schemes", f"{s}: {table.schemes[s]}")
            for n, s in enumerate(t.schemes)
        ),
        (
            "simulated",
            "",
            f"{', '.join(t.verified) or 'none'} "
            "(streamed on the simulator in this project's tests)",
        ),
        *(("not offered", "", f"{s}: {reason}") for s, reason in t.refused.items()),
        *t.details(),
    ]
    lines = [t.name]
    for label, fact, text in rows:
        keys = ", ".join(key.partition(":")[0] for key in t.sources.get(fact, ()))
        lines.append(f"  {label:<15}{text}" + (f"  [{keys}]" if keys else ""))
    used = dict.fromkeys((*(key for keys in t.sources.values() for key in keys), *t.cited()))
    return "\n".join([*lines, "sources", *(f"  {key:<18}{table.source(key)}" for key in used)])
