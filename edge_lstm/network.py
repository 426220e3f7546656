"""The torch model that a specification describes."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import dropout as drop

from edge_lstm_runtime.layers import FEATURES
from edge_lstm_runtime.model.spec import ModelSpec

from .layers import LayerModule, module_of
from .layers.ops import TORCH
from .named import Named
from .stateful import read_by_stateful

Float32 = NDArray[np.float32]
State = dict[str, Tensor]  # by the network's names, "lstm0.h", (N, size) each


class CompactNet(nn.Module):
    """The layers of a network, in order. The last one, the head, answers at every step.

    dropout: the share of the values that is zeroed in training. They are those of layers with a
    state that a later one reads, directly or through layers without.
    embedding: for one-hot features, the size of the vector that each feature is turned into first.

    >>> import torch, edge_lstm as el
    >>> run = el.load_run("runs/mine")
    >>> net = run.model
    >>> net
    CompactNet(3 features -> lstm 8 -> dense 2; 402 parameters)
    >>> x = torch.zeros(4, 20, 3)
    >>> answers, state = net.forward(x)  # or net(x): (N, T, F) -> (N, T, O), and the state after T
    >>> answers.shape, state["lstm0.h"].shape
    (torch.Size([4, 20, 2]), torch.Size([4, 8]))
    >>> values, _ = net.run(x)  # of every layer
    >>> list(values)
    ['x', 'lstm0', 'head']
    >>> y, after = net.run_layer("lstm0", x, None, None)
    >>> net.module("head").canonical()["W"].shape
    torch.Size([8, 2])
    >>> print(net.summary().splitlines()[0])
    network         3 features -> lstm 8 -> dense 2 -> rest, walk
    >>> untrained = el.CompactNet(run.spec)
    >>> untrained.reset_parameters()  # draws other weights
    """

    def __init__(
        self, spec: ModelSpec, *, dropout: float = 0.0, embedding: int | None = None
    ) -> None:
        super().__init__()
        self.spec = spec
        self.network = spec.network
        self.dropout = dropout
        # A product with one-hot rows is a look-up.
        self.embedding = (
            None
            if embedding is None
            else nn.Linear(spec.inputs.feature_size, embedding, bias=False)
        )
        self.layers = Named()
        for layer in self.network.layers:
            inputs, _ = self.network.sizes[layer.name]
            if embedding is not None and FEATURES in layer.inputs:
                inputs += embedding - spec.inputs.feature_size
            self.layers[layer.name] = module_of(layer, inputs)
        self._dropped = read_by_stateful(self.network)  # whose outputs lose values in training
        self.reset_parameters()

    def __repr__(self) -> str:
        layers = " -> ".join(layer.title for layer in self.network.layers)
        size = f"{self.network.parameters:,} parameters"
        return f"CompactNet({self.network.features} features -> {layers}; {size})"

    def reset_parameters(self) -> None:
        """Draw new weights, as each layer type does it."""
        *inner, last = (self.module(layer.name) for layer in self.network.layers)
        for module in inner:
            module.initialize()
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight)  # as nn.Embedding begins
        last.initialize()

    def forward(
        self, features: Tensor, state: State | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """features: (N, T, F), normalized. state: (N, size) each, by the network's names, None for
        zero. Returns the answers (N, T, O) and the state after step T.

        lengths: for a network that needs whole sequences, (N,) int64 on the CPU, the steps of each
        before its padding. None if there is no padding. The answers in the padding say nothing.
        """
        values, after = self.run(features, state, lengths)
        return values[self.network.layers[-1].name], after

    def run(
        self, features: Tensor, state: State | None = None, lengths: Tensor | None = None
    ) -> tuple[dict[str, Tensor], State]:
        """As `forward`, with the output (N, T, size) of every layer, by its name."""
        values = {FEATURES: features if self.embedding is None else self.embedding(features)}
        after: State = {}
        for layer in self.network.layers:
            own = None if state is None else self.network.own(layer, state)
            x = TORCH.join([values[name] for name in layer.inputs])
            y, new = self.run_layer(layer.name, x, own, lengths)
            if self.dropout and layer.name in self._dropped:
                # Time first, as torch's own modules of several layers do it.
                y = drop(y.transpose(0, 1), self.dropout, self.training).transpose(0, 1)
            values[layer.name] = y
            after.update({f"{layer.name}.{name}": part for name, part in new.items()})
        return values, after

    def module(self, name: str) -> LayerModule:
        """The module of a layer."""
        return cast(LayerModule, self.layers[name])

    def run_layer(
        self, name: str, x: Tensor, state: State | None, lengths: Tensor | None
    ) -> tuple[Tensor, State]:
        """One layer over all steps. Number formats override this.

        name: the layer's. x: (N, T, inputs). state: its own, (N, size) each, None for zero.
        lengths: as of `forward`. Returns (N, T, size) and the state after step T.
        """
        answered: tuple[Tensor, State] = self.module(name)(x, state, lengths)
        return answered

    def summary(self) -> str:
        """Size and work, a line each."""
        spec = self.spec
        network = spec.network
        layers = " -> ".join(layer.title for layer in network.layers)
        # int8 keeps the biases and nothing else in 4 bytes.
        biases = sum(shape[0] for shape in network.weights.values() if len(shape) == 1)
        names = spec.answer.names
        answers = ", ".join(names) if len(names) < 8 else f"{len(names)} values"
        in_int8 = network.parameters + 3 * biases
        return "\n".join(
            (
                f"network         {spec.inputs.feature_size} features -> {layers} -> {answers}",
                f"parameters      {network.parameters:,}",
                f"bytes           {4 * network.parameters:,} in fp32, "
                f"{in_int8:,} in int8 (biases in 32 bits)",
                f"MACs per step   {network.macs_per_step:,}",
            )
        )


def canonical_weights(model: CompactNet) -> dict[str, Float32]:
    """The weights by the runtime's names and shapes: float32 copies."""

    def array(tensor: Tensor) -> Float32:
        return np.array(tensor.detach().cpu().numpy(), dtype=np.float32, order="C")

    found = {}
    for layer in model.network.layers:
        for name, tensor in model.module(layer.name).canonical().items():
            found[f"{layer.name}.{name}"] = array(tensor)
        if model.embedding is not None and FEATURES in layer.inputs:
            name = f"{layer.name}.{layer.entry}"  # the embedding is folded into it
            embedding = array(model.embedding.weight)  # (E, F)
            found[name] = np.ascontiguousarray((np.ascontiguousarray(found[name].T) @ embedding).T)
    return {name: found[name] for name in model.network.weights}
