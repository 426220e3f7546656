"""The training loop. Nothing in a step waits for the device."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Many
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from edge_lstm_runtime.errors import TrainingError
from edge_lstm_runtime.model.spec import ModelSpec

from ..config.schema import Config
from ..data.examples import Windows
from ..data.recordings import Splits
from ..data.remembered import windows
from ..data.windows import Cuts
from ..network import CompactNet, State
from ..tasks.base import task_of
from ..threads import Threads, at, rehearsal, using
from . import checkpoint
from .batches import Batch, Batches, carried, seed_of
from .checkpoint import Progress
from .cuda_graph import Recorded
from .distill import Teacher
from .history import History, Logger
from .likely_cause import likely_cause
from .metrics import Validation
from .progress import Reporter

if TYPE_CHECKING:
    from lightning_fabric import Fabric

LOOK_EVERY = 0.5  # seconds between looks at the loss, each of which waits for the device
# Seconds between checkpoints: an epoch of a small model is shorter than a write to disk.
SAVE_EVERY = 2.0


def learning_rate(step: int, total: int, warmup: float, peak: float) -> float:
    """The rate of step 0, 1, ... total - 1.

    It rises linearly to `peak` in the first `warmup` share, then falls to 0 as a cosine.
    """
    rising = round(warmup * total)
    if step < rising:
        return peak * (step + 1) / rising
    return 0.5 * peak * (1 + math.cos(math.pi * (step - rising) / (total - rising)))


def training_windows(config: Config, spec: ModelSpec, splits: Splits) -> Windows:
    """Raises DataError if they can't be trained on."""
    streams = config.train.batch_size if config.model.reads_characters else None
    return windows(spec, splits.train, Cuts(**config.data.cuts, streams=streams), splits)


@dataclasses.dataclass(eq=False, repr=False)
class Training:
    """A model with its optimizer and data, and how far it has come.

    out: the folder for the checkpoints. network: the net to train, of the specification `spec`.
    loggers: those that take the rows of history.csv too.
    watch: the history after each epoch -> why training ends there, "" if it goes on.
    """

    config: Config
    spec: ModelSpec
    splits: dataclasses.InitVar[Splits]
    out: Path
    fabric: Fabric
    reporter: Reporter
    network: dataclasses.InitVar[type[CompactNet]] = CompactNet
    _: dataclasses.KW_ONLY
    teacher: Teacher | None = None
    loggers: Many[Logger] = ()
    watch: Callable[[list[dict[str, float]]], str] | None = None

    def __post_init__(self, splits: Splits, network: type[CompactNet]) -> None:
        config = self.config.train
        spec = self.spec
        fabric = self.fabric
        self.fingerprint = splits.fingerprint
        self.progress = Progress()
        data = training_windows(self.config, spec, splits)
        self.sequences = len(data)
        self._loss = task_of(spec).loss(config, spec).fitted(spec, data)
        self._batches = Batches(self.config, spec, data, self._loss.counts(data), fabric)
        self.validate = Validation(spec, splits.val, self._loss, fabric)
        torch.manual_seed(seed_of(config.seed))
        self.net = network(spec, **self.config.model.network_options)
        self._parameters = list(self.net.parameters())
        graph = config.cuda_graph and network is CompactNet
        if graph and not self._batches.even:
            self.reporter.line(
                "[train] cuda_graph: the sequences are of unequal lengths, "
                "so that no step can be recorded"
            )
            graph = False
        self._model, self._optimizer = fabric.setup(self.net, self._make_optimizer(graph))
        self._recorded = None
        if graph:
            zero = {
                name: torch.zeros(config.batch_size, size, device=fabric.device)
                for name, size in spec.network.state.items()
            }
            self._recorded = Recorded(self._forward, self._update, zero)
        alone_on_cpu = fabric.device.type == "cpu" and fabric.world_size == 1
        self.threads = Threads(config.threads, measures=alone_on_cpu)
        self._best = copy.deepcopy(self.net.state_dict())
        self._best_unsaved = False
        self._saved_at = 0.0
        self._done_before = 0  # epochs, until the interruption of a run that is resumed

    def _make_optimizer(self, graph: bool) -> torch.optim.Optimizer:
        config = self.config.train
        device = self.fabric.device
        kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[config.optimizer]
        # A graph reads the rate from the device's memory.
        rate = torch.tensor(config.learning_rate, device=device) if graph else config.learning_rate
        optimizer: torch.optim.Optimizer = kind(
            self._parameters,
            lr=rate,
            weight_decay=config.weight_decay,
            fused=device.type in ("cpu", "cuda"),
            capturable=graph,
        )
        return optimizer

    def begin_with(self, weights: dict[str, Tensor]) -> None:
        """Train on from these weights. They are the best ones until an epoch is better."""
        self.net.load_state_dict(weights)
        self._keep(self._score(self.validate(self.net)))

    def restore(self, last: dict[str, Any], best: dict[str, Any]) -> None:
        self.net.load_state_dict(last["model"])
        rates = [group["lr"] for group in self._optimizer.param_groups]
        self._optimizer.load_state_dict(last["optimizer"])
        for group, rate in zip(self._optimizer.param_groups, rates, strict=True):
            group["lr"] = rate  # set anew in each step
        self.progress = Progress(**last["progress"])
        for row in self.progress.history:
            row.setdefault("threads", self.threads.default)  # of a run from before it was recorded
        # best.pt may be of a later epoch than last.pt. Training then finds it again on the way,
        # if it uses the same numbers of threads.
        self._best = best["model"]
        self._done_before = best["progress"]["epoch"]
        if self._done_before > self.progress.epoch:
            self.progress.threads = best["progress"].get("threads", [])

    @using()
    def run(self) -> None:
        """Train to the end, or to an early stop. PyTorch's number of threads is then as before.

        Raises TrainingError if a loss is not finite. The best checkpoint is kept.
        """
        config = self.config.train
        progress = self.progress
        self._set_threads(anew=not progress.threads)
        self.reporter.start(progress.epoch, config.epochs, self._batches.sequences)
        try:
            with self._history() as log:
                while not progress.finished:
                    row = self._epoch()
                    better = self._judge(row)
                    log.add(row)
                    self.reporter.epoch(row, config.monitor, best=better)
                    self._set_threads(anew=self._slowed())
                    self._save(log)
        except BaseException:
            self._save_best()  # it may be up to SAVE_EVERY seconds newer than the one on disk
            raise
        finally:
            self._batches.let_go()
            self.reporter.close()

    def _history(self) -> History:
        write = self.fabric.is_global_zero
        return History(self.out, self.progress, self.loggers, write=write)

    def _slowed(self) -> bool:
        progress = self.progress
        if progress.finished or progress.epoch < self._done_before:
            return False
        seconds = [row["seconds"] for row in progress.history]
        return self.threads.slow(seconds, len(self._batches))

    def _set_threads(self, *, anew: bool) -> None:
        """Set the number recorded for the next epoch. anew: choose it first, and record it."""
        progress = self.progress
        epoch = self.progress.epoch + 1
        if anew:
            left = (self.config.train.epochs - progress.epoch) * len(self._batches)
            number, why = self.threads.choose(self._rehearse, left)
            plural = "s" if number > 1 else ""
            self.reporter.line(f"{number} thread{plural} from epoch {epoch} on: {why}")
            if not progress.threads or number != progress.threads[-1]["threads"]:
                progress.threads.append({"epoch": epoch, "threads": number, "why": why})
        torch.set_num_threads(at(progress.threads, epoch))

    def _rehearse(self) -> AbstractContextManager[Callable[[], object]]:
        epoch = self.progress.epoch + 1
        return rehearsal(self.net, self._optimizer, lambda: self._steps(epoch))

    def _steps(self, epoch: int) -> Iterator[tuple[Tensor, Tensor, int]]:
        """Make an epoch's steps of the optimizer, each when it is asked for.

        Gives the loss and the gradients' norm, both before the step, and the number of the loss's
        terms.
        """
        config = self.config.train
        total_steps = config.epochs * len(self._batches)
        left: State | None = None
        taught: State | None = None  # the teacher's
        self._model.train()
        for batch, count, keep in self._batches.epoch(epoch):
            self._set_rate(
                learning_rate(self.progress.step, total_steps, config.warmup, config.learning_rate)
            )
            wanted = None
            if self.teacher is not None:
                wanted, taught = self.teacher.answer(batch.x, carried(taught, keep), batch.lengths)
            batch = batch._replace(begin=carried(left, keep), wanted=wanted)
            whole = len(batch.x) == config.batch_size
            update = self._recorded if self._recorded is not None and whole else self._update
            loss, norm, left = update(batch)
            yield loss, norm, count

    def _epoch(self) -> dict[str, float]:
        progress = self.progress
        n = self._batches.sequences
        size = self.config.train.batch_size
        epoch = progress.epoch + 1
        losses: list[Tensor] = []
        norms: list[Tensor] = []
        counts: list[int] = []
        began = time.perf_counter()
        look = began + LOOK_EVERY
        for loss, norm, count in self._steps(epoch):
            losses.append(loss)
            norms.append(norm)
            counts.append(count)
            progress.step += 1
            if time.perf_counter() >= look:
                value = loss.item()
                # With more ranks all of them stop together, at the epoch's end.
                if not math.isfinite(value) and self.fabric.world_size == 1:
                    self._not_finite(epoch, losses, norms)
                self.reporter.samples((epoch - 1) * n + min(len(losses) * size, n), value)
                look = time.perf_counter() + LOOK_EVERY
        totals = np.array(counts)
        weights = torch.as_tensor(
            totals / totals.sum(), dtype=torch.float64, device=self.fabric.device
        )
        total = self.fabric.all_reduce(
            (torch.stack(losses).double() * weights).sum(), reduce_op="mean"
        )
        mean = float(cast(Tensor, total))
        mean_norm = float(torch.stack(norms).mean())
        if not (math.isfinite(mean) and math.isfinite(mean_norm)):
            self._not_finite(epoch, losses, norms)
        seconds = time.perf_counter() - began
        validation = self.validate(self.net)
        if not math.isfinite(validation["val_loss"]):
            after = f", the validation loss after it {validation['val_loss']:g}"
            self._not_finite(epoch, losses, norms, after)
        progress.epoch = epoch
        rates = {
            "learning_rate": float(self._optimizer.param_groups[0]["lr"]),
            "grad_norm": mean_norm,
        }
        speed: dict[str, float] = {"seconds": seconds, "samples_per_s": n / seconds}
        speed["threads"] = torch.get_num_threads()
        return {"epoch": epoch, "train_loss": mean, **validation, **rates, **speed}

    def _forward(self, batch: Batch) -> tuple[Tensor, State]:
        """The batch's loss times its share, and the states that the batch leaves."""
        x, y, mask, last, share, begin, lengths, wanted = batch
        outputs, left = self._model(x, begin, lengths)
        loss = self._loss(outputs, y, mask, last)
        if self.teacher is not None and wanted is not None:
            loss = self.teacher.mix(
                loss, self._loss.towards(outputs, wanted, mask, last, self.teacher.temperature)
            )
        return loss * share, {name: part.detach() for name, part in left.items()}

    def _update(self, batch: Batch) -> tuple[Tensor, Tensor, State]:
        """One step of the optimizer.

        Returns the loss and the gradients' norm before it, and the states that the batch leaves.
        """
        self._optimizer.zero_grad()
        loss, left = self._forward(batch)
        self.fabric.backward(loss)
        norm = clip_grad_norm_(self._parameters, self.config.train.clip_norm)
        self._optimizer.step()
        return loss.detach(), norm, left

    def _set_rate(self, rate: float) -> None:
        for group in self._optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def _judge(self, row: dict[str, float]) -> bool:
        """Whether this epoch is the best so far. Sets `finished` if it is the last."""
        config = self.config.train
        progress = self.progress
        score = self._score(row)
        better = progress.best_score is None or score > progress.best_score
        if better:
            self._keep(score)
        else:
            progress.epochs_without_better += 1
        progress.history.append(row)
        if progress.epoch == config.epochs:
            progress.finished = f"all {config.epochs} epochs done"
        elif config.patience and progress.epochs_without_better >= config.patience:
            without = f"{config.patience} epochs without a better {config.monitor}"
            progress.finished = f"stopped after epoch {progress.epoch}: {without}"
        elif self.watch is not None and (why := self.watch(progress.history)):
            progress.finished = f"stopped after epoch {progress.epoch}: {why}"
        return better

    def _score(self, row: dict[str, float]) -> tuple[float, float]:
        monitor = self.config.train.monitor
        if f"val_{monitor}" not in row:
            has = ", ".join(key for key in row if key.startswith("val_"))
            raise TrainingError(
                f"[train] monitor = {monitor!r}: the tally of task {self.config.model.task!r} "
                f"gives no val_{monitor}, only {has}; expected one of these"
            )
        value = row[f"val_{monitor}"]
        # Accuracies are often equal. The lower loss is then better.
        higher = monitor in self.config.model.HIGHER_IS_BETTER
        return value if higher else -value, -row["val_loss"]

    def _keep(self, score: tuple[float, float]) -> None:
        self.progress.best_score = score
        self.progress.best_epoch = self.progress.epoch
        self.progress.epochs_without_better = 0
        self._best = copy.deepcopy(self.net.state_dict())
        self._best_unsaved = True

    def _contents(self, model: dict[str, Tensor]) -> dict[str, Any]:
        return {
            "model": model,
            "spec": self.spec.to_dict(),
            "config": self.config.to_dict(),
            "folder": self.config.folder,
            "fingerprint": self.fingerprint,
            "progress": dataclasses.asdict(self.progress),
        }

    def _save(self, log: History) -> None:
        due = time.monotonic() - self._saved_at >= SAVE_EVERY
        if not self.fabric.is_global_zero or not (self.progress.finished or due):
            return
        # At the end best.pt is written again, so that it has the whole history.
        self._best_unsaved |= bool(self.progress.finished)
        self._save_best()  # first: last.pt counts on it
        checkpoint.save(
            self.out / checkpoint.LAST,
            self._contents(self.net.state_dict()) | {"optimizer": self._optimizer.state_dict()},
        )
        log.save()
        self._saved_at = time.monotonic()

    def _save_best(self) -> None:
        if self._best_unsaved and self.fabric.is_global_zero:
            checkpoint.save(self.out / checkpoint.BEST, self._contents(self._best))
            self._best_unsaved = False

    def _not_finite(
        self, epoch: int, losses: list[Tensor], norms: list[Tensor], after: str = ""
    ) -> NoReturn:
        """after: what is not finite if all losses and norms are."""
        loss = torch.stack(losses).double().cpu().numpy()
        norm = torch.stack(norms).double().cpu().numpy()
        bad = ~(np.isfinite(loss) & np.isfinite(norm))
        step = int(np.argmax(bad)) if bad.any() else len(bad) - 1
        best = self.progress.best_epoch
        kept = f"the best checkpoint, of epoch {best}, is kept"
        cause = likely_cause(self.config.train, self._batches.largest(), norm[:step])
        raise TrainingError(
            f"training stopped in epoch {epoch}, step {step + 1}: the loss is {loss[step]:g}, "
            f"the gradient norm {norm[step]:g}{after}; likely {cause}; "
            f"{kept if best else 'there is no checkpoint yet'}"
        )
