"""A training run, read back from its folder."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_lstm_runtime.errors import BundleError, DataError, TrainingError
from edge_lstm_runtime.layers.layout import Float32
from edge_lstm_runtime.model.spec import ModelSpec

from ..config.schema import Config
from ..data.load import Splits, load_data

if TYPE_CHECKING:
    from ..network import CompactLSTM


@dataclasses.dataclass(frozen=True)
class Run:
    """weights: canonical, float32; history: a row per epoch; metrics: those of metrics.json, empty before training has ended.

    w8a8: the ranges that the weights were fine-tuned with for an NPU, see `npu_lstm.settled`; empty where they were not.
    """

    path: Path
    config: Config
    spec: ModelSpec
    weights: dict[str, Float32]
    history: list[dict[str, float]]
    metrics: dict[str, Any]
    fingerprint: str
    model: CompactLSTM = dataclasses.field(repr=False)
    w8a8: dict[str, Float32] = dataclasses.field(default_factory=dict, repr=False)

    @functools.cached_property
    def splits(self) -> Splits:
        """The data, read again. Raises DataError when it is not what the model was trained on."""
        splits = load_data(self.config)
        if splits.fingerprint != self.fingerprint:
            raise DataError(
                f"{self.path}: the data has changed since this run was trained (fingerprint {splits.fingerprint[:12]}, "
                f"expected {self.fingerprint[:12]}); restore the data, or train again"
            )
        return splits


def load_run(path: str | Path, checkpoint: str = "best") -> Run:
    """checkpoint: "best" or "last". Raises TrainingError for a folder that is no run and for a damaged checkpoint."""
    from ..network import CompactLSTM, canonical_weights
    from ..training import checkpoint as checkpoints

    path = Path(path)
    if checkpoint not in ("best", "last"):
        raise TrainingError(f"checkpoint is {checkpoint!r}, expected 'best' or 'last'")
    file = path / f"{checkpoint}.pt"
    contents = checkpoints.load(file)
    try:
        spec = ModelSpec.from_dict(contents["spec"])
        config = Config.from_dict(contents["config"], contents["folder"])
        model = CompactLSTM(spec, **config.model.network_options)
        model.load_state_dict(contents["model"])
        model.eval()
        weights = canonical_weights(model)
        spec.check_weights(weights)
        learned = {name: tensor.numpy() for name, tensor in contents.get("w8a8", {}).items()}
    except (BundleError, ValueError, RuntimeError) as e:
        raise TrainingError(f"{file}: {str(e).splitlines()[0]}; the checkpoint doesn't fit this version: train again") from e
    try:
        metrics = json.loads((path / checkpoints.METRICS).read_text())
    except FileNotFoundError:
        metrics = {}
    except ValueError as e:
        raise TrainingError(f"{path / checkpoints.METRICS}: damaged ({e}); delete it and run train with --resume to write it again") from e
    return Run(path, config, spec, weights, contents["progress"]["history"], metrics, contents["fingerprint"], model, learned)
