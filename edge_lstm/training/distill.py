"""Distillation: a small model learns from a larger one's answers, beside the truth.

Source: Hinton et al. 2015, arXiv 1503.02531.

RUN/teacher/    the teacher: a run of its own that was trained first, or best.pt and metrics.json of
                the run that [distill] names
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edge_lstm_runtime.errors import TrainingError
from edge_lstm_runtime.files import atomic_write
from edge_lstm_runtime.model.spec import ModelSpec

from ..config.schema import Config
from ..network import CompactNet, State
from ..results.run import Run, load_run
from . import checkpoint

FOLDER = "teacher"


@dataclasses.dataclass(frozen=True)
class Teacher:
    """The model that answers, and how its answers count.

    model: on the training's device. temperature: divides the logits of classes. weight: the
    teacher's share of the loss.
    """

    model: CompactNet
    temperature: float
    weight: float

    @torch.no_grad()
    def answer(
        self, x: Tensor, state: State | None, lengths: Tensor | None
    ) -> tuple[Tensor, State]:
        """As of `CompactNet`, without gradients."""
        return self.model(x, state, lengths)  # type: ignore[no-any-return]

    def mix(self, loss: Tensor, towards: Tensor) -> Tensor:
        return (1 - self.weight) * loss + self.weight * towards


def teacher_config(config: Config, hidden_size: int) -> Config:
    """The configuration of a teacher that is trained first.

    It differs in its size, and the teacher is neither taught, pruned nor quantized. It is not
    refitted either: its student chooses epochs on a validation split that it must not have seen.
    """
    changed: dict[str, Any] = {"distill": None, "prune": None, "quantize": None}
    changed["model"] = config.model.model_copy(update={"hidden_size": hidden_size})
    changed["train"] = config.train.model_copy(update={"refit": False})
    return config.model_copy(update=changed)


def find_teacher(config: Config, teacher: str, out: Path) -> Path:
    """The folder of the run `teacher`, or RUN/teacher if that is a copy already.

    teacher: a folder, looked for beside the configuration first. Raises TrainingError if it has no
    finished run.
    """
    beside = Path(config.folder) / teacher
    source = beside if beside.exists() else Path(teacher)
    kept = out / FOLDER
    if (kept / checkpoint.METRICS).exists():
        return kept
    if not (source / checkpoint.METRICS).exists():
        raise TrainingError(
            f"[distill] teacher = {teacher!r}: there is no finished run in {source}; "
            "train it first, or set `hidden_size`"
        )
    return source


def keep_teacher(source: Path, out: Path) -> None:
    """Copy the parts of the run in `source` that are needed into RUN/teacher.

    A resumed run then has the same teacher, whatever becomes of the original.
    """
    kept = out / FOLDER
    if source == kept:
        return
    kept.mkdir(exist_ok=True)
    for name in (checkpoint.BEST, checkpoint.METRICS):
        with atomic_write(kept / name) as file:
            file.write((source / name).read_bytes())


def checked(run: Run, spec: ModelSpec, fingerprint: str) -> Run:
    """The teacher's run, if it fits.

    Raises TrainingError if it answers something else than a student of this specification, or was
    trained on other data.
    """
    # A detector's threshold and the widths of quantiles are set after the training, and the network
    # may be another one. Both must read the same way: a net that reads both ways would read the
    # padding of the batches.
    described = run.spec.to_dict()
    theirs, ours = (
        {
            "bidirectional": s.whole,
            "inputs": values["inputs"],
            "answer": {**values["answer"], "detector": None, "widths": None},
        }
        for s, values in (
            (run.spec, described),
            (spec, checkpoint.as_before(spec.to_dict(), described)),
        )
    )
    if changed := checkpoint.differences(theirs, ours):
        raise TrainingError(
            f"[distill] the teacher {run.path} does not fit: its {changed[0]}; "
            "expected one of the same data and task"
        )
    if run.fingerprint != fingerprint:
        raise TrainingError(
            f"[distill] the teacher {run.path} was trained on other data or another split; "
            "expected a run of the same data"
        )
    return run


def load_teacher(
    config: Config, spec: ModelSpec, fingerprint: str, out: Path, device: torch.device
) -> Teacher:
    """The teacher in RUN/teacher. Raises TrainingError if it does not fit."""
    assert config.distill is not None
    run = checked(load_run(out / FOLDER), spec, fingerprint)
    return Teacher(run.model.to(device), config.distill.temperature, config.distill.weight)
