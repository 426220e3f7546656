"""From a configuration to a run's folder.

RUN/best.pt, last.pt    checkpoints: the best epoch on the validation split, and the last one, from
                        which `resume` goes on
RUN/first.pt, refit/    of the second training that `refit` asks for, see refit.py
RUN/teacher/            the larger model of [distill], see distill.py
RUN/full.pt, prune/     of [prune], see prune.py
RUN/float.pt, int8/     of the fine-tuning that [quantize] asks for (or w8a8/), see qat.py
RUN/config.toml         the configuration as it was used
RUN/history.csv         a row per epoch. RUN/tensorboard has the same as TensorBoard events
RUN/metrics.json        validation and test metrics of the best checkpoint, as on the board:
                        streamed from the zero state at each sequence. "test, state never reset"
                        is one stream through all of them. A sequence of classes is a run of one
                        label
RUN/provenance.json     when it was trained, by which version, and the date of the data
RUN/*.png               the curves, the task's figure of the test split, and a detector's scores
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_lstm_runtime.errors import ConfigError, DataError, TrainingError
from edge_lstm_runtime.files import atomic_write

from ..config.load import as_config
from ..config.schema import Config
from ..config.sections import TrainConfig
from ..data.load import load_data, make_spec
from ..data.recordings import Float64, let_go_of, shuffled
from ..data.remembered import remembered
from ..data.season import with_season
from ..data.windows import logarithmic
from ..overview.short import amounts, classes_in_words
from ..results import alarms, plots
from ..results.metrics import CARRIED, evaluate
from ..results.notes import notes
from ..results.run import Run, load_run
from ..tasks.base import task_of
from . import checkpoint, provenance
from .claim import claimed
from .memory import check_memory
from .progress import Reporter
from .ranks import check_alike, check_started, told_together
from .tracking import Tracking, check_trackers
from .without import without

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from matplotlib.figure import Figure

    from edge_lstm_runtime.model.spec import ModelSpec

    from ..data.load import Splits
    from ..results.sizes import Row
    from .distill import Teacher
    from .loop import Training


def train(
    config: Config | Mapping[str, Any] | str | Path,
    out: str | Path,
    *,
    resume: bool = False,
    quiet: bool = False,
    trackers: Sequence[str] = (),
    figures: bool = True,
) -> Run:
    """Train a model and write its run.

    config: a configuration, the path of one, "recipe:NAME", or a dict of its sections.

    out: a new or empty folder. With `resume` it is the folder of a run of the same configuration
    and data. The run goes on from its last checkpoint as if it had not been interrupted. If it was
    finished, it is left as it is.
    quiet: no progress on standard error.
    trackers: names of TRACKERS, such as "mlflow", that get the parameters, the figures of each
    epoch and the test metrics. A resumed run goes on in the same runs of the tools.
    figures: whether to draw the run's figures, which takes longer than a small training.

    Raises ConfigError, DataError and TrainingError. A run that was begun can be resumed.

    >>> import edge_lstm as el
    >>> run = el.train("mine.toml", "runs/again", quiet=True, figures=False)
    >>> sorted(run.metrics["test"])[:2]
    ['accuracy', 'accuracy_all_steps']
    """
    config = as_config(config)
    out = Path(out)
    check_trackers(trackers)
    # All of this comes before PyTorch is imported, which takes seconds.
    check_started(config.train)
    if "LOCAL_RANK" not in os.environ:  # no process of several that another one has started
        checkpoint.check_run(out, resume=resume)
    splits = load_data(config)

    from ..threads import one

    fabric = make_fabric(config.train)
    with contextlib.ExitStack() as held:
        if fabric.is_global_zero:  # before there are others that would wait for this one
            marks = (checkpoint.CONFIG, checkpoint.LAST)
            held.enter_context(claimed(out, "run", marks, resume=resume))
        held.enter_context(told_together(fabric))
        fabric.launch()
        fabric.barrier()
        check_alike(fabric, config, splits.fingerprint, out)
        reporter = Reporter(quiet=quiet or not fabric.is_global_zero, figures=figures)
        reporter.line(f"data: {amounts(splits)}")
        if words := classes_in_words(splits):
            reporter.line(f"classes: {words}")
        for note in splits.notes:
            reporter.line(f"note: {note}")
        names = trackers if fabric.is_global_zero else ()
        tracking = held.enter_context(Tracking(names, out, reporter, resume=resume))
        with one():
            return _train(config, splits, out, fabric, tracking, resume=resume)


def _train(
    config: Config, splits: Splits, out: Path, fabric: Fabric, tracking: Tracking, *, resume: bool
) -> Run:
    """Nothing is written before all that can refuse the configuration or the data."""
    from .loop import Training
    from .prune import prune
    from .qat import fine_tune
    from .refit import refit

    reporter = tracking.reporter
    last = (
        checkpoint.load(out / checkpoint.LAST)
        if resume and (out / checkpoint.LAST).exists()
        else None
    )
    spec = make_spec(config, splits)
    config, repeats = with_season(config, spec, splits)
    if last is not None:
        before = Config.from_dict(last["config"], last["folder"])
        before, _ = with_season(before, spec, splits)  # a run of an earlier version has none
        check_same(last, before, config, spec.to_dict(), splits.fingerprint, out)
    if last is not None and last["progress"]["finished"] and (out / checkpoint.METRICS).exists():
        reporter.line(f"{out}: {last['progress']['finished']}; there is nothing to resume")
        return load_run(out)
    _check_stages(config, spec, splits)
    check_memory(spec.network)
    training = Training(config, spec, splits, out, fabric, reporter)
    source = _named_teacher(config, spec, splits.fingerprint, out)
    tracking.open()
    if last is None and fabric.is_global_zero:
        checkpoint.make_folder(out)
        with atomic_write(out / checkpoint.CONFIG) as file:
            file.write(config.to_toml().encode())
    tracking.begin(config.to_dict() | {"network": _sizes(spec)})
    training.loggers = [tracking]
    if config.distill is not None:
        training.teacher = _teacher(training, splits, source)
    if last is not None:
        # best.pt may be the model of a later stage already.
        names = (checkpoint.FIRST, checkpoint.FULL, checkpoint.FLOAT, checkpoint.BEST)
        training.restore(
            last,
            checkpoint.load(
                next((out / name for name in names if (out / name).exists()), out / checkpoint.BEST)
            ),
        )
        reporter.line(
            f"{out}: goes on after epoch {training.progress.epoch} of {config.train.epochs}"
        )
    # RUN/config.toml, with which a run may be resumed, has it as a given one.
    training.progress.season = training.progress.season or repeats
    training.run()
    if config.train.refit:
        refit(training, splits, resume=resume)
    pruned = (
        prune(training, config.prune, splits, resume=resume) if config.prune is not None else []
    )
    quantized = (
        fine_tune(training, config.quantize, splits, resume=resume)
        if config.quantize is not None
        else None
    )
    if fabric.is_global_zero:
        _finish(training, splits, out, pruned, quantized)
        tracking.finish(checkpoint.read_json(out / checkpoint.METRICS))
        reporter.line(
            f"{out}: {training.progress.finished}; the best epoch is {training.progress.best_epoch}"
        )
    fabric.barrier()
    return load_run(out)


def _sizes(spec: ModelSpec) -> dict[str, int]:
    return {"parameters": spec.network.parameters, "macs_per_step": spec.network.macs_per_step}


def _check_stages(config: Config, spec: ModelSpec, splits: Splits) -> None:
    """Raise now an error that a stage would raise after hours of training.

    The training itself, with its training and validation split, is not among these stages.
    """
    from .loop import training_windows
    from .prune import check_prunable
    from .qat import check_tunable
    from .refit import joined

    def measure() -> None:
        zeros = [np.zeros((len(s.x), spec.answer.size), np.float32) for s in splits.test]
        evaluate(spec, splits.test, zeros, season=config.data.season)
        let_go_of(splits)

    try:
        remembered(splits, ["measured", spec.to_dict(), config.data.season], measure)
    except DataError as e:
        raise DataError(f"the test split can't be measured: {e}") from e
    if config.train.refit:
        try:
            training_windows(config, spec, joined(splits))
        except DataError as e:
            raise DataError(f"[train] refit = true: {e}") from e
    if config.prune is not None:
        check_prunable(spec, config.prune)
    if config.quantize is not None:
        check_tunable(spec, config.quantize)


def _named_teacher(config: Config, spec: ModelSpec, fingerprint: str, out: Path) -> Path | None:
    """The folder of the teacher that [distill] names. Raises TrainingError if it doesn't fit."""
    from .distill import checked, find_teacher

    if config.distill is None or config.distill.teacher is None:
        return None
    source = find_teacher(config, config.distill.teacher, out)
    checked(load_run(source), spec, fingerprint)
    return source


def _teacher(training: Training, splits: Splits, source: Path | None) -> Teacher:
    """Trained first, or copied from `source`."""
    from .distill import FOLDER, keep_teacher, load_teacher, teacher_config

    config = training.config
    fabric = training.fabric
    reporter = training.reporter
    folder = training.out / FOLDER
    assert config.distill is not None
    if config.distill.hidden_size is not None:
        reporter.line(f"{folder}: the teacher, {config.distill.hidden_size} units")
        resume = (folder / checkpoint.CONFIG).exists()
        fabric.barrier()  # before the first rank writes it
        larger = teacher_config(config, config.distill.hidden_size)
        alone = Tracking((), folder, reporter, resume=resume)
        _train(larger, splits, folder, fabric, alone, resume=resume)
    elif source is not None:
        if fabric.is_global_zero:
            keep_teacher(source, training.out)
        fabric.barrier()
    return load_teacher(config, training.spec, splits.fingerprint, training.out, fabric.device)


def make_fabric(settings: TrainConfig) -> Fabric:
    """The devices and the precision of a training.

    Raises ConfigError if this machine doesn't have them.
    """
    # It asks torchmetrics for its version. That imports SciPy, matplotlib and ONNX Runtime.
    with without("torchmetrics"):
        from lightning_fabric import Fabric

    # It advises a call of PyTorch's, which a user of a configuration can't make.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    precision: Any = {"fp32": "32-true", "bf16": "bf16-mixed"}[settings.precision]
    try:
        fabric = Fabric(
            accelerator=settings.accelerator,
            devices=settings.devices,
            num_nodes=settings.num_nodes,
            strategy=settings.strategy,
            precision=precision,
        )
    except (RuntimeError, ValueError) as e:  # Fabric's own exceptions derive from these
        raise ConfigError(
            f"[train] accelerator = {settings.accelerator!r}, devices = {settings.devices}: {e}"
        ) from e
    if settings.cuda_graph and fabric.device.type != "cuda":
        raise ConfigError(
            "[train] cuda_graph = true: a step is recorded on a GPU, and this one runs on "
            f"{fabric.device.type!r}; remove it"
        )
    return fabric


def check_same(
    last: dict[str, Any],
    before: Config,
    config: Config,
    spec: dict[str, Any],
    fingerprint: str,
    out: Path,
) -> None:
    """before: of the last checkpoint, with the defaults of keys that came later."""
    found = checkpoint.differences(before.to_dict(), config.to_dict())
    if found:  # RUN/config.toml has absolute paths, and the one it was made of need not
        found = checkpoint.differences(before.located(), config.located())
    changed = [f"the configuration's {text}" for text in found]
    changed = changed or ([] if last["fingerprint"] == fingerprint else ["the data"])
    changed = changed or [
        f"the model's {text}"
        for text in checkpoint.differences(last["spec"], checkpoint.as_before(spec, last["spec"]))
    ]
    if changed:
        verb = (
            "; ".join(changed)
            if changed != ["the data"]
            else "the data has changed since it was started"
        )
        raise TrainingError(
            f"{out}: can't resume this run: {verb}; undo the change, or train in another folder"
        )


def _finish(
    training: Training,
    splits: Splits,
    out: Path,
    pruned: list[Row],
    quantized: dict[str, Any] | None,
) -> None:
    """Metrics and figures of the best checkpoint.

    pruned: the rows of [prune]. quantized: the metrics of [quantize], None without that section.
    """
    from ..results.answers import answers, calibrated, carried_answers

    net = load_run(out).model.to(training.fabric.device)
    season = training.config.data.season
    metrics: dict[str, Any] = {
        "best_epoch": training.progress.best_epoch,
        "epochs": training.progress.epoch,
    }
    metrics["threads"] = training.progress.threads
    metrics["training_windows"] = training.sequences
    if training.progress.season is not None:
        metrics["season"] = training.progress.season
    if quantized is not None:
        metrics["quantize"] = quantized
    unseen = net
    if training.config.train.refit:  # the refitted model has seen the validation split
        training.net.load_state_dict(checkpoint.load(out / checkpoint.FIRST)["model"])
        unseen = training.net
    answer = calibrated(unseen, splits.val)
    for model in (net, unseen):
        model.spec = dataclasses.replace(model.spec, answer=answer)
    spec = net.spec
    _keep(out, spec)
    found = {"val": answers(unseen, splits.val), "test": answers(net, splits.test)}
    for part, answered in found.items():
        metrics[part] = evaluate(
            unseen.spec, getattr(splits, part), answered, season=season, train=splits.train
        )
    let_go_of(splits)
    if len(splits.test) > 1 and not spec.whole:
        stream = shuffled(splits.test)
        carried = carried_answers(net, stream)
        metrics[f"test, {CARRIED}"] = evaluate(spec, stream, carried, season=season)
    rows = _with_teacher(training, pruned, out, spec, metrics)
    if rows:
        metrics["compact"] = rows
        _draw(training, "compact.png", lambda: plots.plot_compact(rows))
    history = training.progress.history
    scale = logarithmic(spec)
    _draw(training, "curves.png", lambda: plots.plot_curves(history, logarithmic=scale))
    task = task_of(spec)
    _draw(
        training,
        task.figure,
        lambda: task.draw(spec, splits.test, found["test"], metrics["test"]),
    )
    if settings := training.config.model.alarms:
        scored: dict[str, list[Float64]] = {}
        spec, scored["train"] = alarms.fit(
            spec, splits.train, answers(net, splits.train), **settings
        )
        for part, answered in found.items():
            scored[part] = alarms.scores(spec, getattr(splits, part), answered)
        _keep(out, spec)
        for part, scores in scored.items():
            measured = alarms.measure(spec, getattr(splits, part), scores)
            metrics.setdefault(part, {})[alarms.KEY] = measured
        title = " -> ".join(layer.title for layer in spec.network.layers[:-1])
        panels = {title: (scored["test"], spec.detector.threshold)}
        _draw(training, plots.ANOMALY_FIGURE, lambda: plots.plot_anomalies(splits.test, panels))
    if splits.notes:
        metrics["data"] = list(splits.notes)
    metrics["notes"] = notes(metrics, training.config.data.cuts)
    provenance.record(out, training.config)
    # This file comes last, because it says that the run is complete.
    checkpoint.save_json(out / checkpoint.METRICS, metrics)


def _draw(training: Training, name: str, draw: Callable[[], Figure]) -> None:
    """A figure in the run's folder, if figures are wanted."""
    if training.reporter.figures:
        plots.save_figure(draw(), training.out / name)


def _with_teacher(
    training: Training, pruned: list[Row], out: Path, spec: ModelSpec, metrics: dict[str, Any]
) -> list[Row]:
    """The rows of the sizes that were trained, the teacher's first, none without one."""
    from ..results import sizes
    from .distill import FOLDER

    if training.teacher is None:
        return pruned
    teacher = load_run(out / FOLDER)
    first = sizes.row("teacher", teacher.spec, {p: teacher.metrics[p] for p in ("val", "test")})
    student = sizes.row("student", spec, {p: metrics[p] for p in ("val", "test")})
    return [first, *(pruned or [student])]


def _keep(out: Path, spec: ModelSpec) -> None:
    """The specification of the best checkpoint, with the numbers that came after its training."""
    best = checkpoint.load(out / checkpoint.BEST)
    if best["spec"] != (changed := spec.to_dict()):
        checkpoint.save(out / checkpoint.BEST, {**best, "spec": changed})
