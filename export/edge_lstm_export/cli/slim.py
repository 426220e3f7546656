"""Make a bundle without recordings in it, of what a board needs."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from edge_lstm_runtime.shown import in_a_line

from ..slim.bundle import MEMBERS, slim_bundle
from ._shared import say

GOES_ON = True  # the work is more than its output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Write a bundle for a board. The calibration set stays behind, and so do the graphs and\n"
        "models of backends that are not kept. The golden samples become generated ones, within\n"
        "the training's range, with answers of the float64 reference. Each kept backend that runs\n"
        "here is checked with them. What the export promised stays in the manifest."
    )
    parser.epilog = (
        "examples:\n"
        "  edge-lstm slim har.edge --keep native -o small.edge\n"
        "  edge-lstm slim har.edge --keep rk3588 --keep native --real 50 -o small.edge"
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="NAME.edge")
    parser.add_argument(
        "--keep",
        action="append",
        required=True,
        metavar="NAME",
        help=f"{', '.join(MEMBERS)}, or a target that the bundle has converted models for; may be "
        "repeated. NumPy and the float32 C kernel always stay",
    )
    parser.add_argument(
        "--real",
        type=int,
        metavar="N",
        help="keep the first N golden samples, which are real test data, in place of generated "
        "ones; whole sequences of a bidirectional model",
    )
    parser.add_argument(
        "-o", "--out", type=Path, required=True, metavar="SMALL.edge", help="the bundle to write"
    )


def main(arguments: argparse.Namespace) -> int:
    keep = list(dict.fromkeys(arguments.keep))
    bundle = slim_bundle(arguments.bundle, arguments.out, keep, real=arguments.real, say=say)
    before, after = (path.stat().st_size / 1000 for path in (arguments.bundle, arguments.out))
    print(f"bundle   {arguments.out} ({after:.0f} kB of {before:.0f} kB)")
    print(f"golden   {bundle.manifest['provenance']['golden']}")
    print(f"members  {in_a_line(', '.join(sorted(bundle.members)))}")
    print(f"next     edge-lstm check {shlex.quote(str(arguments.out))}")
    return 0
