"""The torch model's answers as the board gives them: from the zero state, the state carried; or, bidirectional, to whole sequences."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge_lstm_runtime.inputs.channels import Postprocessor, features

from ..data.recordings import Sequence
from ..data.windows import batches
from ..network import CompactLSTM, State

# Steps whose hidden values are held at once; a recording of days doesn't fit otherwise.
CHUNK = 4096


def stream(model: CompactLSTM, x: Tensor, lengths: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """x: (N, T, F), lengths: (N,) steps before the padding, on the CPU -> the steps and their outputs (N, steps, O), a chunk at a time.

    Of a bidirectional model all steps at once: a chunk would hide what follows it.
    """
    if model.spec.bidirectional:
        yield slice(0, x.shape[1]), model(x, lengths=lengths)[0]
        return
    state: State | None = None
    for start in range(0, x.shape[1], CHUNK):
        steps = slice(start, start + CHUNK)
        outputs, state = model(x[:, steps], state)
        yield steps, outputs


@torch.no_grad()
def answers(model: CompactLSTM, sequences: list[Sequence]) -> list[NDArray[np.float32]]:
    """Per sequence (T, O): logits, else raw units."""
    device = model.head.weight.device
    spec, finish = model.spec, Postprocessor(model.spec)
    inputs = [features(spec, s.x) for s in sequences]
    lengths = np.array([len(s.x) for s in sequences])
    found: list[NDArray[np.float32]] = [np.empty((n, spec.output_size), np.float32) for n in lengths]
    model.eval()
    for batch in batches(lengths):
        x = np.zeros((len(batch), lengths[batch].max(), spec.feature_size), np.float32)
        for row, k in enumerate(batch):
            x[row, : lengths[k]] = inputs[k][0]
        for steps, outputs in stream(model, torch.from_numpy(x).to(device), torch.from_numpy(lengths[batch])):
            values = outputs.float().cpu().numpy()
            for row, k in enumerate(batch):
                part = found[k][steps]
                # Raw units need float64: in float32 a forecast of 101,325 Pa keeps two decimals.
                part[:] = finish(values[row, : len(part)].astype(np.float64), inputs[k][1][steps])
    return found


def carried_answers(model: CompactLSTM, sequences: list[Sequence]) -> list[NDArray[np.float32]]:
    """As `answers`, of one stream through all sequences in their order, the state never reset."""
    whole = dataclasses.replace(sequences[0], x=np.concatenate([s.x for s in sequences]))
    (found,) = answers(model, [whole])
    return np.split(found, np.cumsum([len(s.x) for s in sequences])[:-1])
