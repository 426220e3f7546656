"""Words on the part of an int8 net that hurts most."""

from __future__ import annotations

from edge_lstm_runtime import ModelSpec

from .choose_ranges import Chosen


def worst_stage(spec: ModelSpec, chosen: Chosen) -> str:
    """A sentence: the layer whose int8 product has the most error of its own, and where in it."""
    layer = next(one for one in spec.network.layers if one.name == chosen.worst)
    bounded = [one.name for one in spec.network.layers if one.bounded]
    inputs = [name for name in layer.inputs if name in bounded]
    product = " and ".join([*inputs, f"its own {layer.recurrent}"])
    others = [f"{n} {e:.1e}" for n, e in chosen.alone.items() if n != layer.name]
    beside = f" ({', '.join(others)})" if others else ""
    most = max(chosen.parts, key=lambda part: chosen.parts[part])
    parts = [f"{part} {error:.1e}" for part, error in chosen.parts.items()]
    return (
        f"The int8 product of {layer.name}, with {product}, has the most error of its own: NRMSE "
        f"{chosen.alone[layer.name]:.1e} if it alone is in int8, emulated{beside}. Most of it "
        f"comes from its {most} (rounded alone: {', '.join(parts)})"
    )
