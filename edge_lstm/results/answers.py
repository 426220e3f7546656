"""The torch model's answers as the board gives them.

They begin at the zero state and carry the state, or are of whole sequences if the model is
bidirectional.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge_lstm_runtime.model.spec import ModelSpec
from edge_lstm_runtime.session import answers as scaled

from ..data.chunks import let_go
from ..data.recordings import Sequence
from ..data.windows import batches
from ..network import CompactNet, State
from ..tasks.base import task_of

# Steps whose hidden values are held at once. A recording of days doesn't fit otherwise.
CHUNK = 4096


def stream(model: CompactNet, x: Tensor, lengths: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Gives the steps and their outputs (N, steps, O), a chunk at a time.

    x: (N, T, F). lengths: (N,) the steps before the padding, on the CPU. A bidirectional model
    answers all steps at once, because a chunk would hide the steps that follow it.
    """
    if model.spec.whole:
        yield slice(0, x.shape[1]), model(x, lengths=lengths)[0]
        return
    state: State | None = None
    for start in range(0, x.shape[1], CHUNK):
        steps = slice(start, start + CHUNK)
        outputs, state = model(x[:, steps], state)
        yield steps, outputs


def answers(model: CompactNet, sequences: list[Sequence]) -> list[NDArray[np.float32]]:
    """Of each sequence (T, O): logits for classes and characters, else raw units."""
    return in_units(model.spec, outputs(model, sequences), sequences)


def calibrated(model: CompactNet, sequences: list[Sequence]) -> Any:
    """The answer of the model's specification, with what sequences that it hasn't learned say."""
    return task_of(model.spec).calibrated(model.spec, sequences, lambda: outputs(model, sequences))


def in_units(
    spec: ModelSpec, outputs: list[NDArray[np.float32]], sequences: list[Sequence]
) -> list[NDArray[np.float32]]:
    """The answers that outputs of the network, (T, O) for each sequence, stand for."""
    scaling = spec.answer.scaling(spec.inputs)
    if scaling is None:
        return outputs
    # Raw units need float64: in float32 a forecast of 101,325 Pa keeps two decimals.
    return [
        scaled(scaling, y.astype(np.float64), spec.inputs.features(s.x)[1]).astype(np.float32)
        for y, s in zip(outputs, sequences, strict=True)
    ]


@torch.no_grad()
def outputs(model: CompactNet, sequences: list[Sequence]) -> list[NDArray[np.float32]]:
    """Of each sequence (T, O): the outputs of the network."""
    device = next(model.parameters()).device
    spec = model.spec
    lengths = np.array([len(s.x) for s in sequences])
    found: list[NDArray[np.float32]] = [
        np.empty((n, spec.answer.size), np.float32) for n in lengths
    ]
    model.eval()
    for batch in batches(lengths):
        x = np.zeros((len(batch), lengths[batch].max(), spec.inputs.feature_size), np.float32)
        for row, k in enumerate(batch):
            x[row, : lengths[k]] = spec.inputs.features(sequences[k].x)[0]
            let_go(sequences[k].x)
        for steps, made in stream(
            model, torch.from_numpy(x).to(device), torch.from_numpy(lengths[batch])
        ):
            values = made.float().cpu().numpy()
            for row, k in enumerate(batch):
                part = found[k][steps]
                part[:] = values[row, : len(part)]
    return found


def carried_answers(model: CompactNet, sequences: list[Sequence]) -> list[NDArray[np.float32]]:
    """As `answers`, in one stream through all sequences in order. The state is never reset."""
    whole = dataclasses.replace(sequences[0], x=np.concatenate([s.x for s in sequences]))
    (found,) = answers(model, [whole])
    return np.split(found, np.cumsum([len(s.x) for s in sequences])[:-1])
