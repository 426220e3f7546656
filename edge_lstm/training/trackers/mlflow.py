"""MLflow, by Lightning's logger.

MLFLOW_TRACKING_URI says where the runs are, and MLFLOW_EXPERIMENT_NAME in which experiment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import PROJECT, Status, Tracker

# A server that is gone would else be asked for minutes, and the training would wait.
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
STATUS = {"finished": "success", "failed": "failed", "stopped": "KILLED"}
LONGEST = 500  # characters of a parameter that every server takes


class MLflow(Tracker):
    needs = ("mlflow", "pytorch_lightning")

    def __init__(self, name: str, key: str | None):
        for variable, value in PATIENCE.items():
            os.environ.setdefault(variable, value)
        from mlflow import get_tracking_uri
        from pytorch_lightning.loggers import MLFlowLogger

        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        self._logger = MLFlowLogger(experiment, name, get_tracking_uri(), run_id=key)
        self._client = self._logger.experiment
        if self._logger.run_id is None:
            raise ValueError("MLflow gave the run no id")
        self._id = self._logger.run_id
        if key is not None:
            self._client.update_run(self._id, status="RUNNING")

    @property
    def key(self) -> str:
        return self._id

    def parameters(self, values: Mapping[str, Any]) -> None:
        self._logger.log_hyperparams({k: str(v)[:LONGEST] for k, v in values.items()})

    def epoch(self, number: int, figures: Mapping[str, float]) -> None:
        self._logger.log_metrics(figures, step=number)

    def finish(self, figures: Mapping[str, float], files: Sequence[Path]) -> None:
        self._logger.log_metrics(figures)
        for file in files:
            self._client.log_artifact(self._id, str(file))

    def close(self, status: Status) -> None:
        self._logger.finalize(STATUS[status])


TRACKER = MLflow
