"""From a file to a net of ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_lstm_runtime.errors import BundleError, ConversionError
from edge_lstm_runtime.model.network import Network
from edge_lstm_runtime.shown import in_a_line

from .. import Foreign
from .._elements import elements
from .._parts import X, layers
from .archive import Archive, load
from .config import Item, Reader, every
from .nodes import HANDLERS as NODES
from .original import STATEFUL, Keras, is_stateful
from .recurrent import HANDLERS as RECURRENT
from .walk import Value, Walk


def foreign(path: Path) -> Foreign:
    """As `read` of this package."""
    try:
        return _foreign(load(path))
    except (BundleError, ConversionError) as e:
        raise ConversionError(f"{path}: {in_a_line(str(e))}") from e


def _foreign(archive: Archive) -> Foreign:
    model = Reader().model(archive.config)
    entry = next((item for item in model.inside if item.kind == "InputLayer"), None)
    if entry is None:
        raise ConversionError("the model has no input of a known shape; build it, and save it")
    _, steps, size = entry.shape
    features = size or 1  # 0: each step is a number
    walk = Walk(archive.arrays, {**NODES, **RECURRENT})
    y = walk.model(model, Value(elements(X, 0, np.arange(features)), number=not size))
    if walk.faults or y is None:
        raise ConversionError("; ".join(walk.faults))
    parts = walk.result(y, features)
    found, weights = layers(parts, features)
    network = Network(features, tuple(found))
    if not (network.state or network.whole):
        raise ConversionError("no layer of it has a state: it is no recurrent net")
    if network.whole and (steps is None or any(i.options.get(STATEFUL) for i in every(model))):
        what = "an open number of steps" if steps is None else "states that go on (stateful)"
        raise ConversionError(
            "the model reads both ways, which needs whole sequences of a fixed length, and has "
            f"{what}; build it with keras.Input((steps, features))"
        )
    told = {
        layer.name: part.tensor for layer, part in zip(found, parts, strict=True) if part.tensor
    }
    nodes = {layer.name: part.node for layer, part in zip(found, parts, strict=True)}
    length = steps if network.whole else None
    original = Keras(model, archive.h5, told, found[-1].name, length)
    notes = _notes(model, entry, last=y.last, whole=network.whole)
    return Foreign(
        network, weights, original, nodes, notes=notes, counts=walk.counts, length=length
    )


def _notes(model: Item, entry: Item, *, last: bool, whole: bool) -> tuple[str, ...]:
    found = []
    if last:
        found.append("The file answers after its last step alone, and here at each step")
    if (entry.shape[0] or 1) > 1:
        found.append(f"The file takes {entry.shape[0]} streams at once, and here it is 1")
    if whole:
        found.append(f"The net reads both ways: it takes whole sequences of {entry.shape[1]} steps")
    elif not is_stateful(model):
        found.append(
            "The file starts its states at zero in each call, and here they are carried from step "
            "to step"
        )
    if rest := [name for name, _, _ in model.outputs[1:]]:
        found.append(f"These outputs of the file are left out: {', '.join(rest)}")
    return tuple(found)
