"""Ask boards over ssh which bundle they run."""

from __future__ import annotations

import argparse

from edge_lstm_runtime.cli._shared import json_line

from ..fleet import table
from ..fleet.asking import Asking, Status, differing, most_common
from ..fleet.progress import Progress
from ..fleet.rollout import Plan, Rollout
from ..fleet.ssh import check_ssh
from ._boards import add_boards, boards, end_by


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Ask each board, over ssh, which bundle is installed in the folder, and with --health\n"
        "whether its service is ready and serves that one. The exit code is 1 if a board gives no\n"
        "answer, runs something else than most of them do, or is not healthy."
    )
    parser.epilog = (
        "examples:\n"
        "  edge-lstm fleet status pi@10.0.0.7 pi@10.0.0.8 --to har\n"
        "  edge-lstm fleet status --inventory fleet.toml --json"
    )
    parser.add_argument("what", choices=("status",), metavar="status", help="what to ask for")
    add_boards(parser, 60)


def main(arguments: argparse.Namespace) -> int:
    hosts = boards(arguments)
    check_ssh()
    plan = Plan(0, len(hosts), arguments.parallel, len(hosts))
    work = Asking(arguments.timeout)
    rollout: Rollout[Status] = Rollout(work, Progress(hosts, quiet=True), plan)
    found = rollout.run(plan.stages(hosts))
    others = differing(found)
    if arguments.json:
        rows = [one.to_dict() for one in found.values()]
        print(json_line({"digest": most_common(found), "differ": others, "boards": rows}), end="")
    else:
        print(table.statuses(found), end="")
    end_by(rollout.signal)
    return 1 if others or not all(one.good for one in found.values()) else 0
