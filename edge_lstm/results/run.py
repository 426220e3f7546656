"""A training run, read back from its folder."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from edge_lstm_runtime import kinds
from edge_lstm_runtime.errors import BundleError, DataError, TrainingError
from edge_lstm_runtime.layers import Float32
from edge_lstm_runtime.model.spec import ModelSpec

from ..config.schema import Config
from ..data.load import Splits, load_data
from ..training import checkpoint as checkpoints
from ..training import provenance
from .ask import Asked
from .metrics import figure, headline, title_of
from .to_bundle import export

if TYPE_CHECKING:
    from edge_lstm_runtime import Model

    from ..network import CompactNet


@dataclasses.dataclass(frozen=True)
class Run:
    """A training run, read back from its folder.

    weights: float32 by the runtime's names, (inputs, units) or (units,) each.
    history: a row per epoch.
    metrics: those of metrics.json, empty if training has not ended.
    w8a8: the ranges of a fine-tuning for an NPU, see `npu_w8a8.settled`. Empty if there was none.

    >>> import numpy as np, edge_lstm as el
    >>> run = el.load_run("runs/mine")
    >>> run
    Run('runs/mine', classify: 3 channels -> lstm 8 -> 2 classes, test accuracy 1)
    >>> X = np.stack([s.x for s in run.splits.test])  # (N, T, C)
    >>> y = [run.splits.classes[s.label] for s in run.splits.test]
    >>> run.predict(X).shape, run.predict_proba(X).shape
    ((4,), (4, 2))
    >>> run.score(X, y) == run.evaluate(X, y)["accuracy"] == run.metrics["test"]["accuracy"]
    True
    >>> model = run.export("other.edge")  # an edge_lstm_runtime.Model
    >>> run.origin.splitlines()[0], run.season, run.measured_by[1]
    ('[data]', None, 'the training run')
    >>> sorted(run.provenance)[-2:]  # of the bundle's manifest, docs/trust.md
    ['data_sha256', 'trained']
    """

    synthetic: ClassVar[bool] = False  # the data are real
    imported: ClassVar[bool] = False
    path: Path
    config: Config
    spec: ModelSpec
    weights: dict[str, Float32]
    history: list[dict[str, float]]
    metrics: dict[str, Any]
    fingerprint: str
    model: CompactNet = dataclasses.field(repr=False)
    w8a8: dict[str, Float32] = dataclasses.field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        found = self.metrics.get("test", {})
        metric = headline(found) if found else ""
        said = f"test {title_of(metric)} {figure(found[metric])}" if found else "not finished"
        return f"Run({str(self.path)!r}, {self.spec.summary}, {said})"

    def predict(self, data: Any) -> Any:
        """What the model says: a class, or numbers in raw units.

        data: (N, T, C), one recording (T, C), a list of (T, C), or a frame with the columns of the
        training (one recording, or those that its `group` tells apart). Each recording is read
        from the zero state.
        Returns, for each recording, what the task answers: the name of a class (), names at each
        step (T,), or numbers (T, O) float32 in the order of `spec.answer.names`. They are stacked,
        (N,), (N, T) or (N, T, O), if all have the same shape, else a list. For one recording it is
        that recording's. Raises DataError for other channels, and SampleError for values that the
        model refuses.
        """
        return Asked(self.config, self.spec, self.model).decisions(data)

    def predict_proba(self, data: Any) -> Any:
        """The probabilities of the classes, in the order of `spec.answer.names`.

        data: (N, T, C), as of `predict`. Returns (N, O) float64 for a class of each recording, at
        its last step, and (N, T, O) for classes at each step. Raises ConfigError if the model
        answers with numbers.
        """
        return Asked(self.config, self.spec, self.model).chances(data)

    def evaluate(self, data: Any, y: Any = None) -> dict[str, Any]:
        """The metrics of the task on other data, as metrics.json has them for the test split.

        data, y: (N, T, C) and (N,) and so on, as `edge_lstm.fit` takes them. y is None for a
        forecast, whose truth is in the data, and for a frame, which has its
        answers. Raises DataError if there is nothing to compare with.
        """
        return Asked(self.config, self.spec, self.model).metrics(data, y)

    def score(self, data: Any, y: Any = None) -> float:
        """One figure, higher is better: the accuracy for classes, R^2 for numbers.

        data, y: (N, T, C) and (N,), as of `evaluate`. The accuracy is at the last step if a
        recording has one class, else over all steps. R^2 is over all steps (and steps ahead) that
        have a truth, the mean over the targets.
        """
        asked = Asked(self.config, self.spec, self.model)
        return asked.score(asked.metrics(data, y))

    def export(self, out: str | Path, targets: Iterable[str] = (), **options: Any) -> Model | Any:
        """Write the verified bundle `out` (NAME.edge) and its report, and load it.

        targets: NPUs, such as "rk3588" (`edge-lstm targets`). Without one the bundle has NumPy,
        C and ONNX. Or "c" alone: `out` is then a folder of C source.
        options: of `edge_lstm_export.export_run`, or of `export_c`: schemes, chunk, say, ...
        Returns the `edge_lstm_runtime.Model`; for "c" the `edge_lstm_export.CExport`. Warns of each
        form that was out of tolerance and left out. Raises MissingDependencyError if the extra
        `export` is not installed, and whatever `export_run` raises.
        """
        return export(self, out, tuple(targets), options)

    @property
    def measured_by(self) -> tuple[str, str]:
        """The tool that the metrics are of, and where, in words."""
        return "PyTorch, fp32 (training)", "the training run"

    @property
    def season(self) -> int | None:
        """Steps of the data's period, None if there is none."""
        return self.config.data.season

    @property
    def origin(self) -> str:
        """The configuration in TOML."""
        return self.config.to_toml()

    @property
    def provenance(self) -> dict[str, str]:
        """When and by which version it was trained, and the sha256 of data and configuration."""
        return provenance.of_run(self.path, self.config, self.fingerprint)

    @functools.cached_property
    def splits(self) -> Splits:
        """The data, read again. Raises DataError if the model was trained on other data."""
        splits = load_data(self.config)
        if splits.fingerprint != self.fingerprint:
            raise DataError(
                f"{self.path}: the data has changed since this run was trained "
                f"(fingerprint {splits.fingerprint[:12]}, expected {self.fingerprint[:12]}); "
                "restore the data, or train again"
            )
        return splits


def check_is_run(path: Path, file: str = checkpoints.BEST) -> None:
    """Raises TrainingError, before PyTorch is imported, if there is no such checkpoint.

    path: a folder. file: the checkpoint's name.
    """
    if other := kinds.mistaken(path, kinds.RUN):
        raise TrainingError(other)
    if not (path / file).exists():
        missing = f"there is no {file}" if path.is_dir() else "there is no such folder"
        raise TrainingError(f"{path}: {missing}; expected {kinds.RUN}, as `edge-lstm train` makes")


def load_run(path: str | Path, checkpoint: str = "best") -> Run:
    """Read a run back. checkpoint: "best" or "last".

    Raises TrainingError if the folder is no run, or if the checkpoint is damaged.

    >>> import edge_lstm as el
    >>> run = el.load_run("runs/mine")
    >>> run.weights["lstm0.W_x"].shape  # (F, 4 H) float32
    (3, 32)
    """
    path = Path(path)
    if checkpoint not in ("best", "last"):
        raise TrainingError(f"checkpoint is {checkpoint!r}, expected 'best' or 'last'")
    file = path / f"{checkpoint}.pt"
    check_is_run(path, file.name)

    from ..network import CompactNet, canonical_weights

    contents = checkpoints.load(file)
    try:
        spec = ModelSpec.from_dict(contents["spec"])
        folder = contents["folder"]
        if not Path(folder).exists():  # a run that was moved, whose data may be in it
            folder = str(path.resolve())
        config = Config.from_dict(contents["config"], folder)
        model = CompactNet(spec, **config.model.network_options)
        model.load_state_dict(contents["model"])
        model.eval()
        weights = canonical_weights(model)
        spec.network.check_weights(weights)
        learned = {name: tensor.numpy() for name, tensor in contents.get("w8a8", {}).items()}
    except (BundleError, ValueError, RuntimeError) as e:
        raise TrainingError(
            f"{file}: {str(e).splitlines()[0]}; "
            "the checkpoint doesn't fit this version: train again"
        ) from e
    try:
        metrics = checkpoints.read_json(path / checkpoints.METRICS)
    except FileNotFoundError:
        metrics = {}
    return Run(
        path,
        config,
        spec,
        weights,
        contents["progress"]["history"],
        metrics,
        contents["fingerprint"],
        model,
        learned,
    )
