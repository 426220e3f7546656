"""Install a bundle on boards over ssh: canaries, then waves."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from edge_lstm_runtime.cli._shared import json_line
from edge_lstm_runtime.shown import in_a_line

from ..fleet import table
from ..fleet.deploying import Deployed, Deploying
from ..fleet.deploying import arguments as of_install
from ..fleet.hosts import Host
from ..fleet.package import Package, read_package
from ..fleet.progress import Progress
from ..fleet.rollout import Plan, Rollout
from ..fleet.ssh import check_ssh, remote_command
from ._boards import add_boards, at_least, boards, end_by

GOES_ON = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Send a bundle to boards, by OpenSSH's own client, and have `edge-lstm install` there\n"
        "verify, check and swap it. A board whose service is not healthy with it goes back by\n"
        "itself. The canaries come first. If one fails, no other board is touched. Then come the\n"
        "waves: after a failure no further board is begun. A table says what each board runs in\n"
        "the end. Run it again to go on: boards that have the bundle say so. The exit code is 1\n"
        "if not all boards run it."
    )
    parser.epilog = (
        "examples:\n"
        "  edge-lstm deploy har.edge pi@10.0.0.7 pi@10.0.0.8 --to har\n"
        "  edge-lstm deploy har.edge --inventory fleet.toml --canary 2 --wave 10\n"
        "  edge-lstm deploy har.edge --inventory fleet.toml --dry-run"
    )
    parser.add_argument(
        "bundle", type=Path, metavar="BUNDLE", help="NAME.edge. NAME.edge.sig, if there, goes too"
    )
    add_boards(parser, 600)
    parser.add_argument(
        "--trusted",
        metavar="FILE",
        help="a file on the board: it takes no bundle but one that a key in it has signed",
    )
    parser.add_argument(
        "--remember",
        metavar="FOLDER",
        help="a folder on the board with the highest versions: it takes no lower one",
    )
    parser.add_argument(
        "--allow-downgrade", action="store_true", help="take a lower version all the same"
    )
    parser.add_argument(
        "--reload", metavar="COMMAND", help="on the board, makes the service load the bundle"
    )
    parser.add_argument(
        "--watch",
        type=float,
        metavar="S",
        help="seconds until the service must be healthy, and then must stay so",
    )
    parser.add_argument(
        "--canary", type=int, default=1, metavar="N", help="boards that come first (default: 1)"
    )
    parser.add_argument(
        "--wave", type=int, default=10, metavar="N", help="boards of a wave (default: 10)"
    )
    parser.add_argument(
        "--allow-failures",
        type=int,
        default=0,
        metavar="N",
        help="go on until more boards than these have failed (default: 0). A canary may not fail",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print the boards of each wave, and reach none"
    )


def main(arguments: argparse.Namespace) -> int:
    at_least(arguments, ("wave",), 1)
    at_least(arguments, ("canary", "allow_failures"), 0)
    hosts = boards(arguments)
    plan = Plan(arguments.canary, arguments.wave, arguments.parallel, arguments.allow_failures)
    package = read_package(arguments.bundle, hosts)
    if arguments.dry_run:
        print(_planned(package, plan, hosts))
        return 0
    check_ssh()
    work = Deploying(package, arguments.timeout)
    rollout: Rollout[Deployed] = Rollout(work, Progress(hosts), plan)
    found = rollout.run(plan.stages(hosts))
    complete = all(one.good for one in found.values())
    if arguments.json:
        facts = {"file": package.file, "name": package.name or None, "version": package.version}
        rows = [one.to_dict() for one in found.values()]
        sent = {**facts, "digest": package.digest, "signed": package.signed}
        print(json_line({"bundle": sent, "complete": complete, "boards": rows}), end="")
    else:
        print(f"{package}\n{table.deployed(found)}", end="")
    end_by(rollout.signal)
    return 0 if complete else 1


def _planned(package: Package, plan: Plan, hosts: Sequence[Host]) -> str:
    signed = "with its signature" if package.signed else "without a signature"
    lines = [f"{package}, {signed}"]
    for name, stage in plan.stages(hosts):
        for host in stage:
            line = remote_command(host, of_install(host))
            lines.append(in_a_line(f"{name}: {host.name} ({host.address}): {line}"))
    return "\n".join(lines)
