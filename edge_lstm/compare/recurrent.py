"""The LSTM as `edge-lstm train` trains it, and a GRU and a plain RNN.

All have the same trainer, width, epochs and data.
"""

from __future__ import annotations

import dataclasses
import tempfile
from itertools import cycle
from pathlib import Path

import torch

from edge_lstm_runtime.backends.base import Backend
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.backends.numpy import numpy_backend
from edge_lstm_runtime.errors import BackendUnavailableError, TrainingError
from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.layers import Float32
from edge_lstm_runtime.model.spec import ModelSpec
from edge_lstm_runtime.session import Session

from ..data.statistics import make_spec
from ..network import CompactNet, canonical_weights
from ..results.answers import answers, calibrated
from ..training import checkpoint
from ..training.loop import Training
from ..training.refit import FOLDER as REFIT
from ..training.refit import refit
from ..training.train import make_fabric, train
from .rows import Case, Row, microseconds

TITLES = {"lstm": "LSTM", "gru": "GRU", "rnn": "plain RNN (tanh)"}


def lstm(case: Case) -> Row:
    """A run like any other, in OUT/lstm, that can be exported. An interrupted one goes on."""
    folder = case.out / "lstm"
    resume = (folder / checkpoint.CONFIG).exists()
    run = train(case.config, folder, resume=resume, quiet=case.reporter.quiet)
    metrics = case.measure(answers(run.model, case.splits.test))
    duration, how = _deployed_step(run.spec, run.weights, case)
    how_far = "a step of a whole sequence" if case.spec.whole else "one step"
    note = f"{how_far} by PyTorch: {_torch_step(run.model, case):.0f} µs"
    return Row(
        "lstm",
        TITLES["lstm"],
        metrics,
        run.spec.network.parameters,
        duration,
        how,
        _seconds(folder),
        note,
    )


def gru(case: Case) -> Row:
    return _peer("gru", case)


def rnn(case: Case) -> Row:
    return _peer("rnn", case)


def _peer(kind: str, case: Case) -> Row:
    """The checkpoints are temporary, because this model is measured and not exported."""
    config = case.config.model_copy(
        update={"model": case.config.model.model_copy(update={"type": kind})}
    )
    spec = make_spec(config, case.splits)
    parameters = spec.network.parameters
    with tempfile.TemporaryDirectory() as folder:
        training = Training(
            config, spec, case.splits, Path(folder), make_fabric(config.train), case.reporter
        )
        try:
            training.run()
            if config.train.refit:
                refit(training, case.splits, resume=False)
        except TrainingError as e:  # this is the model's result
            return Row(kind, TITLES[kind], None, parameters, note=f"failed: {e}")
        training.net.load_state_dict(checkpoint.load(Path(folder) / checkpoint.BEST)["model"])
        seconds = _seconds(Path(folder))
    answer = calibrated(training.net, case.splits.val)
    training.net.spec = dataclasses.replace(training.net.spec, answer=answer)
    metrics = case.measure(answers(training.net, case.splits.test))
    model = training.net.cpu()
    duration, how = _deployed_step(spec, canonical_weights(model), case)
    note = f"one step by PyTorch: {_torch_step(model, case):.0f} µs"
    return Row(
        kind,
        TITLES[kind],
        metrics,
        parameters,
        duration,
        how,
        seconds,
        note,
    )


def _seconds(folder: Path) -> float:
    """Of all epochs, without validation: of the training, and of the second one if it was asked."""
    ends = [folder / checkpoint.LAST, folder / REFIT / checkpoint.LAST]
    found = [checkpoint.load(end)["progress"]["history"] for end in ends if end.exists()]
    return float(sum(row["seconds"] for history in found for row in history))


def _deployed_step(spec: ModelSpec, weights: dict[str, Float32], case: Case) -> tuple[float, str]:
    """From raw sample to answer, by the fastest float32 backend that is here."""
    x = case.splits.test[0].x
    backend: Backend
    if spec.whole:
        with Session(spec, numpy_backend(spec, weights)) as session:
            return microseconds(lambda: session.run(x), len(x)), "NumPy, whole sequence"
    try:
        backend = NativeBackend(spec, weights)
        how = "native kernel, single step"
    except BackendUnavailableError:
        backend = numpy_backend(spec, weights)
        how = "NumPy, single step"
    with Session(spec, backend) as session:
        samples = cycle(x)
        if isinstance(spec.inputs, Channels) and spec.inputs.transforms:
            how += ", its transforms in NumPy"
        return microseconds(lambda: session.step(next(samples))), how


def _torch_step(model: CompactNet, case: Case) -> float:
    """From features to outputs."""
    x = torch.from_numpy(model.spec.inputs.features(case.splits.test[0].x)[0]).float()[None]
    model.eval()
    with torch.inference_mode():
        if model.spec.whole:
            return microseconds(lambda: model(x), x.shape[1])
        state = model(x)[1]
        return microseconds(lambda: model(x[:, :1], state))
