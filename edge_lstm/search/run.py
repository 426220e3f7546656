"""`edge-lstm search CONFIG`: a search in its folder, begun or gone on with.

FOLDER/study.json   the plan. Another plan is refused
FOLDER/study.db     the trials as Optuna keeps them, without --storage
FOLDER/trials/      the runs of each trial
FOLDER/us.json      what was timed, by the nets' shapes
FOLDER/chosen-007/  the run of the chosen configuration, with the only look at the test split
and the files of report.py
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edge_lstm_runtime.errors import TrainingError

from ..config.load import load_config
from ..config.schema import Config
from ..results.run import Run
from ..training import checkpoint
from ..training.claim import claimed
from ..training.progress import Reporter
from ..training.train import train
from .budget import Budget
from .engines import Engine, Job
from .plan import FILE, Plan
from .report import chosen_of, write
from .rows import Point
from .setting import TIMES, Setting, make_setting


@dataclasses.dataclass(frozen=True)
class Options:
    """trials: to train in all. bench: the text of --bench. storage, address: as of a Job."""

    budget: Budget
    engine: Engine
    trials: int
    workers: int
    bench: str = ""
    storage: str = ""
    address: str = ""


@dataclasses.dataclass(frozen=True)
class Result:
    """text: the table and what stands behind it. run: of the chosen configuration."""

    plan: Plan
    text: str
    chosen: Point
    run: Run


def search(config: Config, out: str | Path, options: Options, *, quiet: bool = False) -> Result:
    """Search, or go on in the folder of a search with the same plan.

    Raises ConfigError for a configuration that can't be searched and a budget that no net keeps,
    DataError, and TrainingError for a folder that can't be used.
    """
    out = Path(out)
    begun = (out / FILE).exists()
    with claimed(out, "search", (FILE,), resume=begun, again="type the command again"):
        reporter = Reporter(quiet=quiet)
        try:
            setting = make_setting(config, options.budget, options.bench, out)
        except BaseException:
            if not begun:
                (out / TIMES).unlink(missing_ok=True)
            raise
        _same_plan(out / FILE, setting.plan)
        return _searched(setting, out, options, reporter)


def _same_plan(file: Path, plan: Plan) -> None:
    """Write the plan if there is none. Raises TrainingError if there is another one."""
    try:
        before = checkpoint.read_json(file)
    except FileNotFoundError:
        checkpoint.save_json(file, plan.to_dict())
        return
    changed = checkpoint.differences(before, plan.to_dict())
    if changed:
        # The space follows from the configuration and the budget.
        changed = [c for c in changed if not c.startswith("space.")] or changed
        raise TrainingError(
            f"{file.parent}: holds another search: {'; '.join(changed)}; undo the change, or name "
            "another folder"
        )


def _searched(setting: Setting, out: Path, options: Options, reporter: Reporter) -> Result:
    plan = setting.plan
    for dimension in plan.space.dimensions:
        reporter.line(f"searched: {dimension.name} {dimension}")
    for note in setting.notes:
        reporter.line(f"note: {note}")
    job = Job(
        plan,
        out,
        setting.costs,
        options.trials,
        min(options.workers, options.trials),
        options.storage,
        options.address,
        setting.start(),
        reporter.line,
    )
    found = options.engine.run(job)
    chosen = chosen_of(plan, found)
    if chosen is None:
        why = f"; the first failure: {next(iter(found.failed.values()))}" if found.failed else ""
        raise TrainingError(
            f"{out}: none of {len(found.rows)} trained nets keeps the budget {plan.budget} "
            f"({found.over} proposals were over it){why}; add --trials, or raise the budget"
        )
    text = write(plan, found, chosen, setting.clock.said, out)
    folder = out / f"chosen-{chosen.row.number:03d}"
    reporter.line(f"{folder}: the chosen configuration")
    begun = (folder / checkpoint.CONFIG).exists()
    run = train(load_config(out / "chosen.toml"), folder, resume=begun, quiet=reporter.quiet)
    return Result(plan, text, chosen, run)
