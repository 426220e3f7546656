"""The network: torch.nn.LSTM, so that cuDNN serves, and a dense head."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from edge_lstm_runtime.errors import TrainingError
from edge_lstm_runtime.layers import layout
from edge_lstm_runtime.model.spec import ModelSpec

from .threads import using

State = tuple[Tensor, Tensor]
Cell = Literal["lstm", "gru", "rnn"]
_CELLS: dict[Cell, tuple[Callable[..., nn.RNNBase], int]] = {
    "lstm": (nn.LSTM, 4),
    "gru": (nn.GRU, 3),
    "rnn": (nn.RNN, 1),
}  # and their gates


class CompactLSTM(nn.Module):
    """1 to 4 LSTM layers and a linear head that answers at every step.

    dropout: share of the values between two layers that is zeroed in training. A bidirectional model reads whole sequences from both ends.
    embedding: size of the vector that each feature is turned into first; of task "language" alone, whose features are one-hot.
    cell: what `edge-lstm compare` trains beside the LSTM, a GRU or a plain RNN (tanh) in its place; those can't be exported.
    """

    def __init__(self, spec: ModelSpec, *, dropout: float = 0.0, cell: Cell = "lstm", embedding: int | None = None):
        super().__init__()
        self.spec = spec
        self.cell = cell
        kind, self._gates = _CELLS[cell]
        # Of one-hot rows a product is a look-up.
        self.embedding = None if embedding is None else nn.Linear(spec.feature_size, embedding, bias=False)
        self.lstm = kind(
            embedding or spec.feature_size,
            spec.hidden_size,
            spec.num_layers,
            batch_first=True,
            dropout=dropout if spec.num_layers > 1 else 0.0,
            bidirectional=spec.bidirectional,
        )
        self.head = nn.Linear(spec.directions * spec.hidden_size, spec.output_size)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights: per gate, recurrent ones orthogonal and input ones Xavier uniform; forget-gate bias 1, other biases 0.

        A GRU's update gate, which keeps what there is, has the bias 1 too.
        """
        keeping = {"lstm": layout.GATES.index("f"), "gru": 1, "rnn": None}[self.cell]
        for name, parameter in self.lstm.named_parameters():
            kind = name.split("_l")[0]  # of weight_hh_l0 and weight_hh_l0_reverse
            if kind == "weight_hh":
                # One thread: a QR decomposition with more of them gives other weights.
                with using(1):
                    for block in parameter.chunk(self._gates):
                        nn.init.orthogonal_(block)
            elif kind == "weight_ih":
                for block in parameter.chunk(self._gates):
                    nn.init.xavier_uniform_(block)
            else:
                nn.init.zeros_(parameter)
                if kind == "bias_ih" and keeping is not None:  # in one of the two, for they are summed
                    nn.init.ones_(parameter.chunk(self._gates)[keeping])
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight)  # as nn.Embedding begins
        nn.init.xavier_uniform_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, features: Tensor, state: State | None = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """features: (N, T, F), normalised; state: h and c of (layers, N, H) each, None for zero -> (N, T, O), the state after step T.

        A GRU and a plain RNN have no c; h stands in its place.

        lengths: bidirectional, (N,) int64 on the CPU: the steps of each sequence before its padding, which the backward direction must not
        read; None where there is none. The answers in the padding say nothing.
        """
        before = state if state is None or self.cell == "lstm" else state[0]
        if self.embedding is not None:
            features = self.embedding(features)
        if lengths is None:
            hidden, after = self.lstm(features, before)
        else:
            packed = pack_padded_sequence(features, lengths.cpu(), batch_first=True, enforce_sorted=False)  # DDP moves it to the device
            packed, after = self.lstm(packed, before)
            hidden, _ = pad_packed_sequence(packed, batch_first=True, total_length=features.shape[1])
        return self.head(hidden), after if self.cell == "lstm" else (after, after)

    def summary(self) -> str:
        """Size and work, a line each."""
        spec = self.spec
        answers = f"{len(spec.classes)} classes" if spec.task == "classify" else ", ".join(spec.targets)
        answers = "the next character" if spec.task == "language" else answers
        answers = f"{spec.horizon} steps of {answers}" if spec.task == "forecast" else answers
        both = ", both directions" if spec.bidirectional else ""
        # int8 keeps the biases and nothing else in 4 bytes.
        biases = sum(shape[0] for shape in spec.weight_shapes().values() if len(shape) == 1)
        return "\n".join(
            (
                f"CompactLSTM     {spec.feature_size} features -> {spec.num_layers} x {spec.hidden_size} units{both} -> {answers}",
                f"parameters      {spec.parameters:,}",
                f"bytes           {4 * spec.parameters:,} in fp32, {spec.parameters + 3 * biases:,} in int8 (biases in 32 bits)",
                f"MACs per step   {spec.macs_per_step:,}",
            )
        )


def canonical_weights(model: CompactLSTM) -> dict[str, layout.Float32]:
    """The weights of an LSTM as `layout` describes them: float32 copies. Raises TrainingError for another cell."""
    if model.cell != "lstm":
        raise TrainingError(
            f"a model of the cell {model.cell!r} can't be exported; expected 'lstm'; other cells are there to be compared with"
        )

    def arrays(module: nn.Module) -> dict[str, NDArray[np.float32]]:
        return {name: tensor.detach().float().cpu().numpy().copy() for name, tensor in module.state_dict().items()}

    lstm = arrays(model.lstm)
    if model.embedding is not None:
        lstm["weight_ih_l0"] = lstm["weight_ih_l0"] @ arrays(model.embedding)["weight"]
    return layout.from_torch(lstm, arrays(model.head), model.spec.num_layers)
