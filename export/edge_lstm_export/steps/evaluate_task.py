"""Step 8: the metric that the user cares about, on the whole test split, streamed through each backend."""

from __future__ import annotations

import dataclasses
from typing import Any

from numpy.typing import NDArray

from edge_lstm import evaluate
from edge_lstm_runtime import Backend, Session
from edge_lstm_runtime.backends.numpy import NumpyBackend

from ..rknn.sim import SimulatorBackend
from ..work import Work


def call(work: Work) -> Work:
    backends: dict[str, Backend] = {"numpy": NumpyBackend(work.spec, work.weights)}
    backends.update({f"rknn-sim {member}": SimulatorBackend(converter) for member, converter in work.converters.items()})
    test = work.run.splits.test
    answers: dict[str, list[NDArray[Any]]] = {}
    for name, backend in backends.items():
        session = Session(work.spec, backend)
        answers[name] = []
        for recording in test:
            session.reset()
            answers[name].append(session.run(recording.x))
    season = work.run.config.data.season
    metrics = {name: evaluate(work.spec, test, found, season=season) for name, found in answers.items()}
    return dataclasses.replace(work, metrics=metrics, answers=answers["numpy"])
