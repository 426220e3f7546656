"""The search by Optuna: a study in a storage, and worker processes that take trials from it.

A trial is RUNNING in the storage while a worker trains it, and its worker's heartbeat is there too.
If the worker dies, the trial is taken for failed and is put back in the queue with its values. The
worker that takes it goes on in its folder. So a worker killed with -9 costs no trial. A worker of
this machine is seen to be dead at once, another one after GRACE seconds without a heartbeat.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from edge_lstm_runtime.errors import ConfigError, EdgeLstmError, TrainingError

from .costs import over
from .engines import Found, Job
from .importance import importance
from .plan import Plan
from .proposals import directions, objectives, sampler, suggest
from .rows import Row
from .table import trial_line
from .trial import TRIALS, Trials

BEAT = 5  # seconds between heartbeats
GRACE = 30  # seconds without one after which a worker counts as dead
RETRIES = 5  # of a trial, before it counts as failed
POLL = 0.5  # seconds between looks at the storage
MOST = 25  # proposals for each trial. If more are over the budget, little of the space fits
ROOM = 500_000  # bytes of a new study, and somewhat more
ROW = "row"
WORKER = "worker"
ERROR = "error"
SURPLUS = "surplus"


class _FailedError(Exception):
    """A training that failed, which is no fault of the search."""


class _Retry(RetryHeartbeatStaleTrialCallback):
    def __call__(self, study: Study, trial: FrozenTrial) -> None:
        trial.user_attrs = {}  # the next worker isn't this one
        super().__call__(study, trial)


@contextmanager
def _experimental() -> Iterator[None]:
    """Heartbeats and retries are called experimental, since version 2.8."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def open_study(url: str, plan: Plan, trials: int) -> Study:
    """The plan's study, made if there is none. Raises ConfigError if the storage can't be used."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        parsed = make_url(url)
    except ArgumentError as e:
        expected = "expected a URL of SQLAlchemy, such as postgresql://user@host/name"
        raise ConfigError(f"--storage {url}: not a URL; {expected}") from e
    shown = parsed.render_as_string(hide_password=True)
    wait = {"connect_args": {"timeout": 60}} if parsed.get_backend_name() == "sqlite" else {}
    try:
        with _experimental():
            storage = RDBStorage(
                url,
                engine_kwargs=wait,
                heartbeat_interval=BEAT,
                grace_period=GRACE,
                heartbeat_stale_trial_callback=_Retry(max_retry=RETRIES),
            )
        return optuna.create_study(
            storage=storage,
            study_name=f"edge-lstm {plan.digest}",
            directions=directions(plan),
            sampler=sampler(plan.config.train.seed, trials),
            load_if_exists=True,
        )
    except (SQLAlchemyError, ImportError, RuntimeError) as e:
        reason = str(getattr(e, "orig", None) or e).splitlines()[0]
        raise ConfigError(
            f"--storage {shown}: can't be used ({reason}); expected a database that is reachable "
            "from here, with its driver installed"
        ) from e


def run(job: Job) -> Found:
    """Raises TrainingError if a worker fails for a reason that another one would meet too."""
    if not job.storage:
        _check_room(job.folder)
    url = job.storage or f"sqlite:///{job.folder.resolve() / 'study.db'}"
    study = open_study(url, job.plan, job.trials)
    study.enqueue_trial(job.start, skip_if_exists=True)
    said = {t.number for t in study.get_trials(deepcopy=False) if t.state.is_finished()}
    if rows := rows_of(study):
        job.say(f"goes on: {len(rows)} trials of this search are in the storage")
    with ExitStack() as held:
        held.callback(_clean, job.folder)  # after the workers have ended
        some = 0 if finished(study, job.trials) else job.workers
        workers = [_Worker(job, url, k) for k in range(some)]
        for worker in workers:
            held.callback(worker.end)
        while True:
            running = [worker for worker in workers if not worker.done()]
            requeue(study)
            for trial in study.get_trials(deepcopy=False):
                if trial.state.is_finished() and trial.number not in said:
                    said.add(trial.number)
                    if line := _line(job.plan, trial):
                        job.say(line)
            if not running:
                break
            time.sleep(POLL)
    return found(study, job.plan)


def _clean(folder: Path) -> None:
    """Remove what a worker was writing as it was ended."""
    for leftover in (folder / TRIALS).glob("*/*/.*.tmp"):
        leftover.unlink(missing_ok=True)


def _check_room(folder: Path) -> None:
    """Raise OSError if there is none for a study. SQLite would only say that it can't write."""
    probe = folder / ".room.tmp"
    try:
        probe.write_bytes(bytes(ROOM))
    finally:
        probe.unlink(missing_ok=True)


def found(study: Study, plan: Plan) -> Found:
    failed = {}
    retried = _retried(study)
    for trial in study.get_trials(deepcopy=False):
        if trial.state == TrialState.FAIL and trial.number not in retried:
            failed[origin(trial)] = trial.user_attrs.get(ERROR, "its worker died each time")
    pruned = study.get_trials(deepcopy=False, states=(TrialState.PRUNED,))
    not_trained = sum(SURPLUS not in trial.user_attrs for trial in pruned)
    return Found(rows_of(study), failed, not_trained, importance(study, plan))


def rows_of(study: Study) -> list[Row]:
    """The trials that were trained, by their numbers."""
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sorted((Row(**t.user_attrs[ROW]) for t in done), key=lambda row: row.number)


def origin(trial: FrozenTrial) -> int:
    """The number of the trial that this one repeats, or its own."""
    with _experimental():
        first = RetryHeartbeatStaleTrialCallback.retried_trial_number(trial)
    return trial.number if first is None else first


def _retried(study: Study) -> set[int]:
    """The numbers of the trials that others repeat."""
    history = RetryHeartbeatStaleTrialCallback.retry_history
    with _experimental():
        return {number for t in study.get_trials(deepcopy=False) for number in history(t)}


def requeue(study: Study) -> None:
    """Put trials whose workers died back in the queue."""
    with _experimental():
        optuna.storages.fail_stale_trials(study)  # by their heartbeats
        for trial in study.get_trials(states=(TrialState.RUNNING,)):
            if not _is_dead(trial):
                continue
            try:
                study.tell(trial.number, state=TrialState.FAIL)
            except (ValueError, RuntimeError):  # another process did it
                continue
            _Retry(max_retry=RETRIES)(study, trial)


def _is_dead(trial: FrozenTrial) -> bool:
    """Whether its worker was one of this machine, and is gone."""
    if WORKER not in trial.user_attrs:
        return False
    node, pid, began = trial.user_attrs[WORKER]
    return bool(node == platform.node() and began_at(pid) != began)


def began_at(pid: int) -> str:
    """When the process began, which tells it from a later one of its number. "" if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        try:
            os.kill(pid, 0)
        except OSError:
            return ""
        return "there"  # a system without /proc
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]


def me() -> list[Any]:
    return [platform.node(), os.getpid(), began_at(os.getpid())]


def work(study: Study, trials: Trials, wanted: int) -> None:
    """Take trials until `wanted` are done, whoever does them."""
    base = trials.plan.config.train.seed
    while not finished(study, wanted):
        trials.alive()
        requeue(study)
        every = study.get_trials(deepcopy=False)
        waiting = any(t.state == TrialState.WAITING for t in every)
        if not waiting and _enough(every, wanted):
            time.sleep(POLL)  # for one whose worker may die
            continue
        # Each proposal has a seed of its own, so that a search that goes on repeats none.
        first = {origin(t) for t in every}
        study.sampler = sampler(1_000_003 * base + len(first), wanted)
        _take_one(study, trials, wanted)


def finished(study: Study, wanted: int) -> bool:
    every = study.get_trials(deepcopy=False)
    return _enough(every, wanted) and all(t.state.is_finished() for t in every)


def _enough(every: Sequence[FrozenTrial], wanted: int) -> bool:
    """Whether so many trials are trained or in training, or most proposals are over the budget."""
    counted = {origin(t) for t in every if t.state != TrialState.PRUNED}
    return len(counted) >= wanted or len(every) - len(counted) > MOST * wanted


def _take_one(study: Study, trials: Trials, wanted: int) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            study.optimize(
                lambda trial: _objective(study, trial, trials, wanted),
                n_trials=1,
                catch=_FailedError,
            )
    except ValueError as e:
        # This process was taken for dead, as after a machine's sleep. The trial is in the queue
        # again, and its runs are in its folder.
        if "Cannot tell" not in str(e):
            raise


def _objective(study: Study, trial: Trial, trials: Trials, wanted: int) -> Sequence[float]:
    plan = trials.plan
    trial.set_user_attr(WORKER, me())
    values = {d.name: suggest(trial, d) for d in plan.space.dimensions}
    (own,) = (t for t in study.get_trials(deepcopy=False) if t.number == trial.number)
    excess = over(trials.costs, plan.budget, values)
    if "budget" not in trial.constraints:  # of a repeated one
        trial.set_constraint("budget", excess)
    if excess > 0:
        raise optuna.TrialPruned
    before = {
        origin(t)
        for t in study.get_trials(deepcopy=False)
        if t.state != TrialState.PRUNED and origin(t) < origin(own)
    }
    if len(before) >= wanted:  # two workers took the last one
        trial.set_user_attr(SURPLUS, True)
        raise optuna.TrialPruned
    try:
        row = trials.run(origin(own), values, rows_of(study))
    except EdgeLstmError as e:
        trial.set_user_attr(ERROR, str(e))
        raise _FailedError from e
    trial.set_user_attr(ROW, row.to_dict())
    return objectives(plan, row)


def _line(plan: Plan, trial: FrozenTrial) -> str:
    """What became of a trial, "" if another one goes on with it or has its place."""
    if ROW in trial.user_attrs:
        return trial_line(plan, Row(**trial.user_attrs[ROW]))
    if trial.state == TrialState.PRUNED and SURPLUS not in trial.user_attrs:
        return f"trial {trial.number}: not trained, over {plan.budget} by {_percent(trial)}"
    if ERROR in trial.user_attrs:
        return f"trial {origin(trial)}: failed: {trial.user_attrs[ERROR]}"
    if trial.state == TrialState.FAIL:
        return f"trial {origin(trial)}: its worker died; another one goes on with it"
    return ""


def _percent(trial: FrozenTrial) -> str:
    return f"{100 * trial.constraints['budget']:.3g} %"


class _Worker:
    """A process that takes trials, begun again if it is killed."""

    def __init__(self, job: Job, url: str, index: int) -> None:
        self._job = job
        self._url = url
        self._log = job.folder / f"worker{index}.log"
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        here = str(Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
        with self._log.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "edge_lstm.search.worker"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                # Its own session: Ctrl-C is for the process that ends the others.
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            )
        request = {
            "folder": str(self._job.folder),
            "config": self._job.plan.config.folder,
            "storage": self._url,  # it may have a password: not in the arguments
            "trials": self._job.trials,
            "parent": me()[1:],
        }
        assert process.stdin is not None
        with process.stdin as stdin:
            stdin.write(json.dumps(request).encode())
        return process

    def done(self) -> bool:
        """Raises TrainingError if it failed."""
        code = self._process.poll()
        if code is None:
            return False
        if code < 0:  # killed: its trial is put back in the queue
            self._process = self._start()
            return False
        if code > 0:
            said = self._log.read_text("utf-8", "replace").strip().splitlines()
            reason = said[-1] if said else f"exit code {code}"
            raise TrainingError(f"a worker of the search ended: {reason} (all of it: {self._log})")
        return True

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
