"""RNN by torch.nn.RNN."""

from __future__ import annotations

from typing import cast

from torch import nn

from edge_lstm_runtime.layers.rnn import Rnn

from .recurrent import RecurrentModule


class RnnModule(RecurrentModule):
    gates = 1

    def torch_module(self, both: bool) -> nn.RNNBase:
        activation = cast(Rnn, self.layer).activation
        return nn.RNN(
            self.inputs,
            self.units,
            nonlinearity=activation,
            batch_first=True,
            bidirectional=both,
        )


MODULE = RnnModule
