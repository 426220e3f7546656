"""A training that is one of a search: the first stage of a run, and no look at the test split.

Its folder is that of an ordinary run without metrics.json. `train` with `resume` finishes it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge_lstm_runtime.files import atomic_write

from ..config.schema import Config
from ..data.load import make_spec
from ..data.recordings import Splits
from ..data.season import with_season
from ..results.run import Run, load_run
from ..threads import using
from . import checkpoint
from .claim import claimed
from .loop import Training
from .memory import check_memory
from .progress import Reporter
from .train import check_same, make_fabric

Watch = Callable[[list[dict[str, float]]], str]


def train_trial(config: Config, out: str | Path, splits: Splits, watch: Watch) -> tuple[Run, str]:
    """Train in `out`, or go on there. Returns the run, and why its training ended.

    config: without stages after the first, such as `refit`. splits: of its data. watch: the rows of
    history.csv so far -> why the training ends here, "" if it goes on.
    Raises TrainingError as `train` does.
    """
    out = Path(out)
    resume = (out / checkpoint.CONFIG).exists()
    with claimed(out, "run", (checkpoint.CONFIG, checkpoint.LAST), resume=resume), using():
        return _train(config, out, splits, watch)


def _train(config: Config, out: Path, splits: Splits, watch: Watch) -> tuple[Run, str]:
    fabric = make_fabric(config.train)
    spec = make_spec(config, splits)
    config, season = with_season(config, spec, splits)
    training = Training(config, spec, splits, out, fabric, Reporter(quiet=True), watch=watch)
    if (out / checkpoint.LAST).exists():
        last = checkpoint.load(out / checkpoint.LAST)
        before = Config.from_dict(last["config"], last["folder"])
        check_same(last, before, config, spec.to_dict(), splits.fingerprint, out)
        training.restore(last, checkpoint.load(out / checkpoint.BEST))
    else:
        check_memory(spec.network)
        with atomic_write(out / checkpoint.CONFIG) as file:
            file.write(config.to_toml().encode())
    training.progress.season = training.progress.season or season
    if not training.progress.finished:
        training.run()
    return load_run(out), training.progress.finished
