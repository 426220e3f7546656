"""The LSTM as `edge-lstm train` trains it, and a GRU and a plain RNN by the same trainer, width, epochs and data."""

from __future__ import annotations

import tempfile
from itertools import cycle
from pathlib import Path

import torch

from edge_lstm_runtime.backends.base import Backend
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.backends.numpy import BidirectionalNumpyBackend, NumpyBackend
from edge_lstm_runtime.errors import BackendUnavailableError, TrainingError
from edge_lstm_runtime.inputs.channels import features
from edge_lstm_runtime.session import Session

from ..network import Cell, CompactLSTM
from ..results.answers import answers
from ..results.run import Run
from ..threads import using
from ..training import checkpoint
from ..training.loop import Training
from ..training.refit import refit
from ..training.train import make_fabric, train
from .rows import Case, Row, microseconds

TITLES: dict[Cell, str] = {"lstm": "LSTM", "gru": "GRU", "rnn": "plain RNN (tanh)"}
# PyTorch has two biases per gate, which add up to one but in the GRU's candidate, whose second is multiplied by the reset gate.
_MERGED = {"lstm": 4, "gru": 2, "rnn": 1}


def parameters(model: CompactLSTM) -> int:
    """What a deployed model would hold: biases that are summed count once."""
    spec = model.spec
    merged = _MERGED[model.cell] * spec.hidden_size * spec.num_layers * spec.directions
    if model.embedding is not None:  # folded into the first layer
        first = model.lstm.get_parameter("weight_ih_l0")
        merged += first.numel() + model.embedding.weight.numel() - len(first) * spec.feature_size
    return sum(p.numel() for p in model.parameters()) - merged


def lstm(case: Case) -> Row:
    """A run as any other, in OUT/lstm, to be exported; an interrupted one goes on."""
    folder = case.out / "lstm"
    run = train(case.config, folder, resume=(folder / checkpoint.CONFIG).exists())
    metrics = case.measure(answers(run.model, case.splits.test))
    duration, how = _deployed_step(run, case)
    how_far = "a step of a whole sequence" if case.spec.bidirectional else "one step"
    note = f"{how_far} by PyTorch: {_torch_step(run.model, case):.0f} µs"
    return Row("lstm", TITLES["lstm"], metrics, parameters(run.model), duration, how, _seconds(run.history), note)


def gru(case: Case) -> Row:
    return _peer("gru", case)


def rnn(case: Case) -> Row:
    return _peer("rnn", case)


@using()
def _peer(cell: Cell, case: Case) -> Row:
    """The checkpoints are temporary: this model is there to be measured, not to be exported."""
    with tempfile.TemporaryDirectory() as folder:
        training = Training(case.config, case.spec, case.splits, Path(folder), make_fabric(case.config.train), case.reporter, cell=cell)
        try:
            training.run()
            if case.config.train.refit:
                refit(training, case.splits, resume=False)
        except TrainingError as e:  # it is this model's result
            return Row(cell, TITLES[cell], None, parameters(training.net), note=f"failed: {e}")
        training.net.load_state_dict(checkpoint.load(Path(folder) / checkpoint.BEST)["model"])
    metrics = case.measure(answers(training.net, case.splits.test))
    model = training.net.cpu()
    how = "PyTorch, single step" if not case.spec.bidirectional else "PyTorch, whole sequence"
    return Row(cell, TITLES[cell], metrics, parameters(model), _torch_step(model, case), how, _seconds(training.progress.history))


def _seconds(history: list[dict[str, float]]) -> float:
    return sum(row["seconds"] for row in history)


def _deployed_step(run: Run, case: Case) -> tuple[float, str]:
    """Raw sample to answer, by the fastest float32 backend that is here."""
    spec, x = run.spec, case.splits.test[0].x
    backend: Backend
    if spec.bidirectional:
        with Session(spec, BidirectionalNumpyBackend(spec, run.weights)) as session:
            return microseconds(lambda: session.run(x), len(x)), "NumPy, whole sequence"
    try:
        backend, how = NativeBackend(spec, run.weights), "native kernel, single step"
    except BackendUnavailableError:
        backend, how = NumpyBackend(spec, run.weights), "NumPy, single step"
    with Session(spec, backend) as session:
        samples = cycle(x)
        return microseconds(lambda: session.step(next(samples))), how


def _torch_step(model: CompactLSTM, case: Case) -> float:
    """Features to outputs; one thread, for a net of this size loses by more."""
    x = torch.from_numpy(features(model.spec, case.splits.test[0].x)[0]).float()[None]
    model.eval()
    with using(1), torch.inference_mode():
        if model.spec.bidirectional:
            return microseconds(lambda: model(x), x.shape[1])
        state = model(x)[1]
        return microseconds(lambda: model(x[:, :1], state))
