"""Measure each backend on this machine: latency, throughput, memory, load time."""

from __future__ import annotations

import argparse
import dataclasses
import sys

from ..errors import BackendError, BackendUnavailableError, ConfigError
from ..verify.auto import candidate_names, choose_backend
from ..verify.bench import LEGEND, EndedError, head, measure, row
from ..verify.stated import stated
from ._shared import add_bundle, json_line, load_asked, members, own_stdout


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Measure each backend on this machine, called from Python: the time of a step from raw\n"
        "sample to answer, steps a second for whole recordings and for several streams together,\n"
        "memory and load time. Each backend runs in its own process, one after the other.\n"
        "With all backends, the choice that `auto` remembers for this bundle and machine is\n"
        "made anew. Figures of a simulator say nothing about a board. Their rows are marked."
    )
    parser.epilog = (
        "examples:\n"
        "  edge-lstm bench har.edge\n"
        "  edge-lstm bench har.edge --backend numpy --steps 10000 --streams 64 --json"
    )
    add_bundle(parser, backend="all")
    parser.add_argument(
        "--steps",
        type=int,
        default=10000,
        metavar="N",
        help="single steps to time (default: %(default)s)",
    )
    parser.add_argument(
        "--streams",
        type=int,
        default=16,
        metavar="N",
        help="streams to answer together (default: %(default)s)",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object for each backend, with the machine, the versions and the "
        "bundle, which `edge-lstm search --bench` reads",
    )


def main(arguments: argparse.Namespace) -> int:

    for option in ("steps", "streams"):
        if getattr(arguments, option) < 1:
            raise ConfigError(f"--{option} is {getattr(arguments, option)}; expected at least 1")
    bundle = load_asked(arguments).bundle
    wanted = arguments.backend
    member = arguments.artifact
    everything = wanted == "all"
    measured = failed = 0
    ended = set()  # this process would end with them
    about = stated(bundle, arguments.bundle) if arguments.json else {}
    with own_stdout() as out:
        if wanted == "auto":
            choice = choose_backend(bundle, artifact=member)
            choice.backend.close()
            print("\n".join(map(str, choice.reasons)), file=sys.stderr)
            wanted = choice.name
            member = choice.artifact
        for name, artifact in members(bundle, wanted, member):
            label = f"{name} {artifact or ''}".rstrip()
            print(f"edge-lstm: measuring {label}", file=sys.stderr)
            try:
                figures = measure(
                    arguments.bundle,
                    name,
                    artifact,
                    arguments.steps,
                    arguments.streams,
                    arguments.trusted,
                )
            except BackendError as e:
                if not everything:
                    raise
                unavailable = isinstance(e, BackendUnavailableError)
                failed += not unavailable
                if isinstance(e, EndedError):
                    ended.add(name)
                print(
                    f"{label:<34} {'not here' if unavailable else 'failed'}: {e}", file=sys.stderr
                )
                continue
            if arguments.json:
                out.write(json_line({**dataclasses.asdict(figures), **about}))
            else:
                out.write(("" if measured else head(arguments.streams)) + row(figures))
            out.flush()
            measured += 1
        if measured and not arguments.json:
            out.write(LEGEND)
        if everything:
            names = [name for name in candidate_names() if name not in ended] if ended else None
            for streams in (None,) if bundle.spec.whole else (None, arguments.streams):
                choice = choose_backend(
                    bundle, names, artifact=arguments.artifact, streams=streams, recall=False
                )
                choice.backend.close()
                taken = " ".join(filter(None, (choice.name, choice.artifact)))
                purpose = f" for {streams} streams" if streams else ""
                print(f"edge-lstm: auto takes {taken}{purpose}", file=sys.stderr)
    return 1 if failed or not measured else 0
