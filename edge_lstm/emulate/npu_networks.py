"""The networks that the NPU's int8 cell can compute. Fine-tuning and export refuse the others.

A configuration is checked by it, so it needs no torch.
"""

from __future__ import annotations

from edge_lstm_runtime.layers import FEATURES
from edge_lstm_runtime.model.network import Network


def refused(network: Network) -> str:
    """Why the int8 cells can't be made of a network, or "" if they can.

    The features have ranges of their own. All else that enters an int8 product is on a grid that
    ends at 1, and what is beyond would be clipped.
    """
    rounded = [layer for layer in network.layers if layer.multiplies_state]
    if not rounded:
        return "no layer multiplies its state, and the int8 cell is made of such layers"
    first = rounded[0]
    readers = [layer.name for layer in network.layers if FEATURES in layer.inputs]
    if readers != [first.name] or first.inputs != (FEATURES,):
        return (
            f"the int8 cell takes a network whose features {first.name} alone reads, its first "
            f"layer that multiplies its state; here {', '.join(readers)} read them"
        )
    by_name = {layer.name: layer for layer in network.layers}
    for layer in rounded:
        entering = [by_name[name] for name in layer.inputs if name != FEATURES]
        for source in (layer, *entering):
            if not source.bounded:
                what = "its own output" if source is layer else f"the output of {source.name}"
                return (
                    f"the int8 cell of {layer.name} multiplies {what}, which can be beyond 1 and "
                    "would be clipped; expected a layer that ends in tanh or sigmoid"
                )
    return ""
