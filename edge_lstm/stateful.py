"""The layers of a network that remember: those with a state, and those that read whole sequences.

A configuration is checked by it, so it needs no torch.
"""

from __future__ import annotations

from edge_lstm_runtime.layers import Layer
from edge_lstm_runtime.model.network import Network


def stateful(network: Network) -> list[Layer]:
    return [layer for layer in network.layers if layer.whole or layer.state(1)]


def units_of(layer: Layer) -> int:
    """The units of one direction."""
    return layer.outputs(1) // (2 if layer.whole else 1)


def read_by_stateful(network: Network) -> set[str]:
    """The names of the stateful layers that a later one reads, directly or through others."""
    remembering = {layer.name for layer in stateful(network)}
    read: set[str] = set()  # layers that a stateful one reads
    for layer in reversed(network.layers):
        if layer.name in remembering | read:
            read.update(layer.inputs)
    return remembering & read


def unread(network: Network) -> list[str]:
    """The names of the layers that nothing reads, but for the last one, which answers."""
    read = {name for layer in network.layers for name in layer.inputs}
    return [layer.name for layer in network.layers[:-1] if layer.name not in read]
