"""The training loop: tensors on the device, shuffled here, and nothing in a step that waits for the device."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from edge_lstm_runtime.errors import TrainingError
from edge_lstm_runtime.model.spec import ModelSpec

from ..config.schema import Config
from ..data.examples import Examples, at_steps
from ..data.recordings import Splits
from ..data.windows import examples
from ..network import CompactNet, State
from ..tasks.base import task_of
from ..threads import Threads, at, rehearsal
from . import checkpoint
from .augment import Augment
from .checkpoint import Progress
from .cuda_graph import Recorded
from .distill import Teacher
from .history import History
from .metrics import Validation
from .progress import Reporter

LOOK_EVERY = 0.5  # seconds between looks at the loss, each of which waits for the device
SAVE_EVERY = (
    2.0  # seconds between checkpoints: an epoch of a small model is shorter than a write to disk
)


def learning_rate(step: int, total: int, warmup: float, peak: float) -> float:
    """Of step 0, 1, ... total - 1: linear up to `peak` in the first `warmup` share, then a cosine down to 0."""
    rising = round(warmup * total)
    if step < rising:
        return peak * (step + 1) / rising
    return 0.5 * peak * (1 + math.cos(math.pi * (step - rising) / (total - rising)))


def _seed(*parts: int) -> int:
    """One seed out of (seed, epoch, rank, ...): a resumed run needs no random state but the number of its epoch."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


class Training:
    """A model with its optimizer and data, and how far it has come."""

    def __init__(
        self,
        config: Config,
        spec: ModelSpec,
        splits: Splits,
        out: Path,
        fabric: Fabric,
        reporter: Reporter,
        network: type[CompactNet] = CompactNet,
        *,
        teacher: Teacher | None = None,
    ):
        self.config, self.spec, self.out, self.fabric, self.reporter = (
            config,
            spec,
            out,
            fabric,
            reporter,
        )
        self.fingerprint = splits.fingerprint
        self.teacher = teacher
        self.progress = Progress()
        self._loss = task_of(spec).loss(config.train)
        # A text is read in order, `batch_size` streams of it side by side.
        self._streams = config.train.batch_size if config.model.reads_characters else None
        self._data = examples(spec, splits.train, **config.data.cuts, streams=self._streams)
        self._counts = self._loss.counts(self._data)
        self._both = spec.whole
        self._even = bool((self._data.lengths == self._data.x.shape[1]).all())
        self._x, self._y, self._mask, self._last = _tensors(self._data, fabric.device)
        self.validate = Validation(spec, splits.val, self._loss, fabric)
        torch.manual_seed(_seed(config.train.seed))
        self.net = network(spec, **config.model.network_options)
        kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[config.train.optimizer]
        self._parameters = list(self.net.parameters())
        decay, fused = config.train.weight_decay, fabric.device.type in ("cpu", "cuda")
        graph = config.train.cuda_graph and network is CompactNet
        if graph and not self._even:
            reporter.line(
                "[train] cuda_graph: the sequences are of unequal lengths, so that no step can be recorded"
            )
            graph = False
        # A graph reads the rate from the device's memory.
        rate = (
            torch.tensor(config.train.learning_rate, device=fabric.device)
            if graph
            else config.train.learning_rate
        )
        optimizer = kind(
            self._parameters, lr=rate, weight_decay=decay, fused=fused, capturable=graph
        )
        self._model, self._optimizer = fabric.setup(self.net, optimizer)
        self._recorded = None
        if graph:
            count = config.train.batch_size
            zero = {
                n: torch.zeros(count, s, device=fabric.device)
                for n, s in spec.network.state.items()
            }
            self._recorded = Recorded(self._forward, self._update, zero)
        alone_on_cpu = fabric.device.type == "cpu" and fabric.world_size == 1
        self.threads = Threads(config.train.threads, measures=alone_on_cpu)
        self._best = copy.deepcopy(self.net.state_dict())
        self._best_unsaved = False
        self._saved_at = 0.0
        self._done_before = 0  # epochs, until the interruption of a run that is resumed

    def begin_with(self, weights: dict[str, Tensor]) -> None:
        """Train these; until an epoch is better, the best ones."""
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
        # best.pt may be of a later epoch than last.pt, and is then found again on the way there:
        # with the same numbers of threads, or it would not be the same.
        self._best = best["model"]
        self._done_before = best["progress"]["epoch"]
        if self._done_before > self.progress.epoch:
            self.progress.threads = best["progress"].get("threads", [])

    def run(self) -> None:
        """Train to the end, or to an early stop. Raises TrainingError on a loss that is not finite; the best checkpoint is kept."""
        config, progress = self.config.train, self.progress
        self._set_threads(anew=not progress.threads)
        self.reporter.start(progress.epoch, config.epochs, len(self._data))
        try:
            with History(self.out, progress, write=self.fabric.is_global_zero) as log:
                while not progress.finished:
                    row = self._epoch()
                    better = self._judge(row)
                    log.add(row)
                    self.reporter.epoch(row, config.monitor, best=better)
                    self._set_threads(anew=self._slowed())
                    self._save()
        except BaseException:
            self._save_best()  # up to SAVE_EVERY seconds of it are not on disk yet
            raise
        finally:
            self.reporter.close()

    def _slowed(self) -> bool:
        progress = self.progress
        if progress.finished or progress.epoch < self._done_before:
            return False
        seconds = [row["seconds"] for row in progress.history]
        return self.threads.slow(seconds, math.ceil(len(self._data) / self.config.train.batch_size))

    def _set_threads(self, *, anew: bool) -> None:
        """As recorded for the next epoch. anew: choose first, and record it."""
        progress, epoch = self.progress, self.progress.epoch + 1
        if anew:
            number, why = self.threads.choose(self._rehearse)
            plural = "s" if number > 1 else ""
            self.reporter.line(f"{number} thread{plural} from epoch {epoch} on: {why}")
            if not progress.threads or number != progress.threads[-1]["threads"]:
                progress.threads.append({"epoch": epoch, "threads": number, "why": why})
        torch.set_num_threads(at(progress.threads, epoch))

    def _rehearse(self) -> AbstractContextManager[Callable[[], object]]:
        epoch = self.progress.epoch + 1
        return rehearsal(self.net, self._optimizer, lambda: self._steps(epoch))

    def _steps(self, epoch: int) -> Iterator[tuple[Tensor, Tensor, int]]:
        """The optimizer's steps of an epoch, each of them made when it is asked for.

        Gives the loss, the gradients' norm, both before the step, and what the loss counts for.
        """
        config, progress, rank, world = (
            self.config.train,
            self.progress,
            self.fabric.global_rank,
            self.fabric.world_size,
        )
        n, size = len(self._data), config.batch_size
        order = torch.randperm(
            n, generator=torch.Generator().manual_seed(_seed(config.seed, epoch))
        )
        share_carried = 0.0 if self._both else config.share_carried
        if self._streams:
            order = torch.arange(n)
        torch.manual_seed(_seed(config.seed, epoch, rank))  # dropout
        starts = range(0, n, size)
        host = order.numpy()
        totals = np.add.reduceat(self._counts[host], starts)
        longest = np.maximum.reduceat(self._data.lengths[host], starts)
        order = order.to(self.fabric.device)
        total_steps = config.epochs * len(starts)
        left: State | None = None
        taught: State | None = None  # the teacher's
        # Which of a batch's sequences begin in a state that was left behind; a teacher in its own where its student does.
        draws = torch.Generator().manual_seed(_seed(config.seed, epoch, rank, 1))
        carried = (
            torch.rand(len(starts), max(1, len(range(rank, size, world))), generator=draws)
            < share_carried
        )
        carried = carried.to(self.fabric.device, torch.float32)
        augment = None
        if self.config.augment is not None:
            augment = Augment(
                self.config.augment,
                self.spec.inputs.size,
                _seed(config.seed, epoch, rank, 2),
                self.fabric.device,
            )
        self._model.train()
        for k, start in enumerate(starts):
            self._set_rate(
                learning_rate(progress.step, total_steps, config.warmup, config.learning_rate)
            )
            index = (
                order[start : start + size][rank::world]
                if world > 1
                else order[start : start + size]
            )
            share = world / int(totals[k])
            if not len(
                index
            ):  # a rank without a sequence still takes part in the exchange of gradients
                index, share = order[:1], 0.0
            x, y, mask, last = self._x[index], self._y[index], self._mask[index], self._last[index]
            lengths = None
            if not self._even:
                steps = int(longest[k])
                if self._both:
                    rows = host[start : start + size][rank::world]
                    lengths = torch.from_numpy(
                        self._data.lengths[rows if len(rows) else host[:1]].clip(max=steps)
                    )
                x, mask = x[:, :steps], mask[:, :steps]
                last = last.clamp(max=steps - 1)  # only of that extra sequence
                y = at_steps(y, slice(steps))
            if augment is not None:
                x = augment(x, last + 1)
            keep = carried[k - 1, : len(index)] if share_carried else None
            wanted = None
            if self.teacher is not None:
                wanted, taught = self.teacher.answer(x, _carried(taught, keep), lengths)
            if self._recorded is not None and len(index) == size:
                loss, norm, left = self._recorded(x, y, mask, last, share, _carried(left, keep))
            else:
                loss, norm, left = self._update(
                    x, y, mask, last, share, _carried(left, keep), lengths, wanted
                )
            yield loss, norm, int(totals[k])

    def _epoch(self) -> dict[str, float]:
        progress, n, size = self.progress, len(self._data), self.config.train.batch_size
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
        mean = float(
            cast(
                Tensor,
                self.fabric.all_reduce(
                    (torch.stack(losses).double() * weights).sum(), reduce_op="mean"
                ),
            )
        )
        mean_norm = float(torch.stack(norms).mean())
        if not (math.isfinite(mean) and math.isfinite(mean_norm)):
            self._not_finite(epoch, losses, norms)
        seconds = time.perf_counter() - began
        validation = self.validate(self.net)
        if not math.isfinite(validation["val_loss"]):
            self._not_finite(epoch, losses, norms)
        progress.epoch = epoch
        rates = {
            "learning_rate": float(self._optimizer.param_groups[0]["lr"]),
            "grad_norm": mean_norm,
        }
        speed: dict[str, float] = {"seconds": seconds, "samples_per_s": n / seconds}
        speed["threads"] = torch.get_num_threads()
        return {"epoch": epoch, "train_loss": mean, **validation, **rates, **speed}

    def _forward(
        self,
        x: Tensor,
        y: Tensor,
        mask: Tensor,
        last: Tensor,
        share: float | Tensor,
        begin: State | None,
        lengths: Tensor | None = None,
        wanted: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """The loss of a batch, and the state that it leaves. share: of the loss's sum; wanted: a teacher's answers."""
        outputs, left = self._model(x, begin, lengths)
        loss = self._loss(outputs, y, mask, last)
        if self.teacher is not None and wanted is not None:
            loss = self.teacher.mix(
                loss, self._loss.towards(outputs, wanted, mask, last, self.teacher.temperature)
            )
        return loss * share, {name: part.detach() for name, part in left.items()}

    def _update(self, *batch: Any) -> tuple[Tensor, Tensor, State]:
        """One step of the optimizer: the loss and the gradients' norm before it, and the state. batch: as of `_forward`."""
        self._optimizer.zero_grad()
        loss, left = self._forward(*batch)
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
        """Whether this epoch is the best so far; sets `finished` when it is the last."""
        config, progress = self.config.train, self.progress
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
            progress.finished = f"stopped after epoch {progress.epoch}: {config.patience} epochs without a better {config.monitor}"
        return better

    def _score(self, row: dict[str, float]) -> tuple[float, float]:
        value = row[f"val_{self.config.train.monitor}"]
        # Accuracies are often equal: then the lower loss is better.
        return (
            value if self.config.train.monitor in self.config.model.HIGHER_IS_BETTER else -value,
            -row["val_loss"],
        )

    def _keep(self, score: tuple[float, float]) -> None:
        self.progress.best_score, self.progress.best_epoch, self.progress.epochs_without_better = (
            score,
            self.progress.epoch,
            0,
        )
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

    def _save(self) -> None:
        now = time.monotonic()
        if not self.fabric.is_global_zero or not (
            self.progress.finished or now - self._saved_at >= SAVE_EVERY
        ):
            return
        self._best_unsaved |= bool(
            self.progress.finished
        )  # with the whole history, whenever it was that it was saved before
        self._save_best()  # first: last.pt counts on it
        checkpoint.save(
            self.out / checkpoint.LAST,
            self._contents(self.net.state_dict()) | {"optimizer": self._optimizer.state_dict()},
        )
        self._saved_at = time.monotonic()

    def _save_best(self) -> None:
        if self._best_unsaved and self.fabric.is_global_zero:
            checkpoint.save(self.out / checkpoint.BEST, self._contents(self._best))
            self._best_unsaved = False

    def _not_finite(self, epoch: int, losses: list[Tensor], norms: list[Tensor]) -> NoReturn:
        loss, norm = (
            torch.stack(losses).double().cpu().numpy(),
            torch.stack(norms).double().cpu().numpy(),
        )
        bad = ~(np.isfinite(loss) & np.isfinite(norm))
        step = int(np.argmax(bad)) if bad.any() else len(bad) - 1
        largest = float(self._x.abs().max())
        before = norm[:step][-20:]
        config = self.config.train
        if largest > 100:
            why = f"an input is {largest:.3g} standard deviations from the training mean: look for wrong values in the data"
        elif len(before) and before.max() > 10 * config.clip_norm:
            why = f"the gradients grew to {before.max():.3g} before: lower learning_rate (it is {config.learning_rate:g}) or clip_norm"
        else:
            why = (
                f"the learning rate is too high: try learning_rate = {config.learning_rate / 10:g}"
            )
            if config.precision == "bf16":
                why += ", or precision = 'fp32'"
        kept = (
            f"the best checkpoint, of epoch {self.progress.best_epoch}, is kept"
            if self.progress.best_epoch
            else "there is no checkpoint yet"
        )
        raise TrainingError(
            f"training stopped in epoch {epoch}, step {step + 1}: the loss is {loss[step]:g}, the gradient norm {norm[step]:g}; "
            f"likely {why}; {kept}"
        )


def _carried(left: State | None, keep: Tensor | None) -> State | None:
    """The states in which a batch begins. keep: (N,) 1 where it is the one that another sequence left behind, 0 where it is zero."""
    if not left or keep is None or len(next(iter(left.values()))) < len(keep):
        return None
    return {name: part[: len(keep)] * keep[:, None] for name, part in left.items()}


def _tensors(data: Examples, device: torch.device) -> tuple[Tensor, ...]:
    arrays: tuple[NDArray[Any], ...] = (data.x, data.y, data.mask, data.lengths - 1)
    return tuple(torch.from_numpy(array).to(device) for array in arrays)
