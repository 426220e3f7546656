"""Optuna: any number of processes and machines on one storage."""

from __future__ import annotations

from . import Engine

ENGINE = Engine("optuna", "search", "edge_lstm.search.with_optuna:run")
