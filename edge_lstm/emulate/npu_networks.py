"""The networks that the NPU's int8 cell can compute. Fine-tuning and export refuse the others.

A configuration is checked by it, so it needs no torch.
"""

from __future__ import annotations

from edge_lstm_runtime.model.network import Network


def refused(network: Network) -> str:
    """Why the int8 cells can't be made of a network, or "" if they can.

    A state that enters an int8 product is on a grid that ends at 1. A larger one would be clipped.
    """
    found = [layer for layer in network.layers if layer.multiplies_state]
    if not found:
        return "no layer multiplies its state, and the int8 cell is made of such layers"
    for layer in found:
        if not layer.bounded:
            return (
                f"the int8 cell of {layer.name} multiplies its own output, which can be beyond 1 "
                "and would be clipped; expected a layer that ends in tanh or sigmoid"
            )
    return ""
