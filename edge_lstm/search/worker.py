"""A process of a search by Optuna: python -m edge_lstm.search.worker, with a request in JSON.

It ends when the search has its trials, and when the process that began it is gone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from edge_lstm_runtime.errors import EdgeLstmError

from ..training import checkpoint
from .plan import FILE, Plan
from .setting import costs_of
from .trial import Trials
from .with_optuna import began_at, open_study, work


def main() -> int:
    request = json.load(sys.stdin)
    folder = Path(request["folder"])
    pid, began = request["parent"]

    def alive() -> None:
        if began_at(pid) != began:
            sys.exit(0)

    try:
        plan = Plan.from_dict(checkpoint.read_json(folder / FILE), request["config"])
        study = open_study(request["storage"], plan, request["trials"])
        _, costs = costs_of(plan, folder, plan.splits(0))
        trials = Trials(plan, folder, costs, alive)
        work(study, trials, request["trials"])
    except EdgeLstmError as e:
        sys.stderr.write(f"{e}\n")
        return e.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
