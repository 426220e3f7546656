"""The search by Ray Tune, with OptunaSearch: for those who have a cluster.

The trials are Ray's tasks. Each process that trains them writes into FOLDER/trials, which all nodes
see. A trial is known there by its values: one that was interrupted goes on in its folder, whichever
process gets it, and one that is done is read.
"""

from __future__ import annotations

import functools
import itertools
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import ray
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial
from ray import tune
from ray.tune.search.optuna import OptunaSearch

from edge_lstm_runtime.errors import EdgeLstmError, TrainingError

from ..training import checkpoint
from .costs import Costs, over
from .engines import Found, Job
from .importance import importance
from .plan import FILE, Plan
from .proposals import distributions, objectives, sampler
from .rows import Row
from .setting import costs_of
from .space import Values
from .table import trial_line
from .trial import TRIALS, Trials

STORE = 100_000_000  # bytes for Ray's objects, of which there are none to speak of
RETRIES = 5  # of a trial whose process or node died
MOST = 200  # draws of the sampler for one that keeps the budget
AIMS = ["metric", "cost"]  # of a result
VALUES = "values.json"  # of a trial's folder
DONE = "row.json"  # of one that is trained
FAILED = "error.json"  # of one whose training failed


def run(job: Job) -> Found:
    """Raises TrainingError if the cluster can't be used."""
    folder = job.folder.resolve()
    plan = job.plan
    done = _done(folder)
    left = job.trials - len(done)
    if left <= 0:
        return _found(folder, plan)
    if done:
        job.say(f"goes on: {len(done)} trials of this search are in {folder / TRIALS}")
    with _cluster(job):
        task = functools.partial(_train, str(folder), plan.config.folder)
        tune.Tuner(
            tune.with_resources(task, {"cpu": 1}),
            tune_config=tune.TuneConfig(
                search_alg=_searcher(job, folder, first=not done),
                num_samples=left,
                max_concurrent_trials=job.workers,
            ),
            run_config=tune.RunConfig(
                name="ray",
                storage_path=str(folder),
                failure_config=tune.FailureConfig(max_failures=RETRIES),
                callbacks=[_Tell(job)],
                verbose=0,
            ),
        ).fit()
    return _found(folder, plan)


@contextmanager
def _cluster(job: Job) -> Iterator[None]:
    """The one at the address, or one on this machine that ends with the block."""
    options: dict[str, Any] = {"address": job.address}
    if not job.address:
        options = {
            "num_cpus": job.workers,
            "object_store_memory": STORE,
            "include_dashboard": False,
            "_node_ip_address": "127.0.0.1",
        }
    try:
        ray.init(**options, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as e:  # Ray raises many types, of which some are its own
        where = f"--address {job.address}" if job.address else "Ray on this machine"
        reason = " ".join(str(e).split())[:300]
        raise TrainingError(f"{where}: can't be used: {reason}") from e
    try:
        yield
    finally:
        ray.shutdown()


def _searcher(job: Job, folder: Path, *, first: bool) -> OptunaSearch:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    plan = job.plan
    return OptunaSearch(
        space=distributions(plan.space),
        metric=AIMS,
        mode=["max" if plan.higher else "min", "min"],
        points_to_evaluate=[job.start] if first else None,
        sampler=_Fitting(plan, job.costs, job.trials),
        study_name=f"edge-lstm {plan.digest}",
        storage=RDBStorage(f"sqlite:///{folder / 'ray.db'}"),
    )


class _Fitting(BaseSampler):
    """Optuna's sampler, asked again until the net keeps the budget."""

    def __init__(self, plan: Plan, costs: Costs, trials: int) -> None:
        self._seed = plan.config.train.seed
        self._budget = plan.budget
        self._costs: Costs | None = costs
        self._trials = trials
        self._space = distributions(plan.space)

    def __getstate__(self) -> dict[str, Any]:
        """Ray keeps it on the disk, and the data need not be there."""
        return {**self.__dict__, "_costs": None}

    def infer_relative_search_space(
        self,
        study: Study,  # noqa: ARG002
        trial: FrozenTrial,  # noqa: ARG002
    ) -> dict[str, BaseDistribution]:
        return self._space

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        seed = 1_000_003 * self._seed + trial.number
        learned = sampler(seed, self._trials)
        by_chance = RandomSampler(seed)
        values: Values = {}
        for _ in range(MOST):
            values = learned.sample_relative(study, trial, search_space)
            if values.keys() != search_space.keys():  # at the beginning
                values = {
                    name: by_chance.sample_independent(study, trial, name, distribution)
                    for name, distribution in search_space.items()
                }
            if self._costs is None or over(self._costs, self._budget, values) <= 0:
                return values
        too_small = f"none of {MOST} proposals keeps the budget {self._budget}"
        raise TrainingError(f"{too_small}; raise it, or narrow [search]")

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        chance = RandomSampler(self._seed + trial.number)
        return chance.sample_independent(study, trial, param_name, param_distribution)


class _Tell(tune.Callback):
    def __init__(self, job: Job) -> None:
        self._plan = job.plan
        self._say = job.say

    def on_trial_result(
        self,
        iteration: int,  # noqa: ARG002
        trials: list[Any],  # noqa: ARG002
        trial: Any,  # noqa: ARG002
        result: Mapping[str, Any],
        **info: Any,  # noqa: ARG002
    ) -> None:
        if "row" in result:
            self._say(trial_line(self._plan, Row(**json.loads(result["row"]))))
        elif "error" in result:
            self._say(result["error"])


@functools.cache
def _trials(folder: str, config_folder: str) -> Trials:
    """Of this process."""
    path = Path(folder)
    plan = Plan.from_dict(checkpoint.read_json(path / FILE), config_folder)
    _, costs = costs_of(plan, path, plan.splits(0))
    return Trials(plan, path, costs)


def _train(folder: str, config_folder: str, values: Values) -> None:
    """A task of Ray's."""
    trials = _trials(folder, config_folder)
    number = _number(trials.folder, values)
    place = trials.folder / TRIALS / f"{number:03d}"
    try:
        row = trials.run(number, values, list(_done(trials.folder).values()))
    except EdgeLstmError as e:
        checkpoint.save_json(place / FAILED, {"error": str(e)})
        tune.report({"error": f"trial {number}: failed: {e}"})
        return
    checkpoint.save_json(place / DONE, row.to_dict())
    metric, cost = objectives(trials.plan, row)
    tune.report({"metric": metric, "cost": cost, "row": json.dumps(row.to_dict())})


def _number(folder: Path, values: Values) -> int:
    """Of the trial with these values, or the first one that is free."""
    for number in itertools.count():
        place = folder / TRIALS / f"{number:03d}"
        try:
            place.mkdir(parents=True)
        except FileExistsError:
            if (place / VALUES).exists() and checkpoint.read_json(place / VALUES) == values:
                return number
            continue
        checkpoint.save_json(place / VALUES, values)
        return number
    raise AssertionError


def _done(folder: Path) -> dict[int, Row]:
    """The trials that were trained, by their numbers."""
    files = sorted(folder.glob(f"{TRIALS}/*/{DONE}"))
    return {int(f.parent.name): Row(**checkpoint.read_json(f)) for f in files}


def _found(folder: Path, plan: Plan) -> Found:
    failed = {
        int(file.parent.name): checkpoint.read_json(file)["error"]
        for file in sorted(folder.glob(f"{TRIALS}/*/{FAILED}"))
    }
    name = f"edge-lstm {plan.digest}"
    study = optuna.load_study(study_name=name, storage=RDBStorage(f"sqlite:///{folder / 'ray.db'}"))
    return Found(list(_done(folder).values()), failed, 0, importance(study, plan))
