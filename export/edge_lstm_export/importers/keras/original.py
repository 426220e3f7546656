"""Keras itself over a stream, in float64 where it can."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edge_lstm_runtime.errors import ConversionError

from .. import Float32, Floats
from .config import Item, every, for_keras

COMPARED = 300  # steps of the model as it is, beside the one that answers at each step
DOUBLE = 1e-9  # of the largest output: both are of the same weights, and in float64
SINGLE = 1e-5
STATEFUL = "stateful"


class Keras:
    """An `Original`. Keras makes the model of a cleaned configuration, and reads the weights.

    The model as it is tells the answers at the ends of its windows. One of the same layers, that
    answer at each step of a stream of any length, tells all layers' outputs. The two are compared.

    model   the cleaned one
    h5      the file of weights
    told    our layer -> the layer of the file
    last    our layer that is the output
    length  steps of a sequence, if it takes whole ones alone
    double  is false if a layer of Keras rounds its products to float32, on PyTorch
    """

    def __init__(
        self, model: Item, h5: bytes, told: Mapping[str, str], last: str, length: int | None
    ) -> None:
        self.tool = f"Keras {importlib.metadata.version('keras')}"
        self._model = model
        self._h5 = h5
        self._told = told
        self._last = last
        self._length = length
        self.double = not any(
            item.kind.startswith("SimpleRNN") or not item.options.get("reset_after", True)
            for item in every(model)
        )
        self._compared = False

    def run(self, xs: Float32) -> dict[str, Floats]:
        """As `Original.run`. Raises ConversionError if Keras refuses the model."""
        with _refused():
            found = self._run(self._stepwise, xs)
        if not self._compared:
            with _refused():
                self._compare(xs[: max(COMPARED, self._entry.shape[1] or 0)], found[self._last])
            self._compared = True
        return found

    def _run(self, model: Any, xs: Float32) -> dict[str, Floats]:
        names = list(model.output)
        values = model(self._laid_out(xs, self._length or len(xs)), training=False)
        found = {name: _numpy(values[name]) for name in names}
        return {name: y.reshape(len(xs), y.shape[-1]) for name, y in found.items()}

    def _laid_out(self, xs: Float32, length: int) -> Floats:
        """(T, F) -> (T / length, length, F), or without F if each step is a number."""
        shape = self._entry.shape[2:] if self._entry.shape[2] else ()
        return xs.astype(np.float64).reshape(-1, length, *shape)

    @property
    def _entry(self) -> Item:
        (found,) = (item for item in self._model.inside if item.kind == "InputLayer")
        return found

    @functools.cached_property
    def _stepwise(self) -> Any:
        keras = _keras()
        model = self._made(stepwise=True)
        outputs = {name: model.get_layer(layer).output for name, layer in self._told.items()}
        outputs = {n: o[0] if isinstance(o, list | tuple) else o for n, o in outputs.items()}
        first = model.outputs[0]
        return keras.Model(model.inputs, {**outputs, self._last: first})

    def _compare(self, xs: Float32, expected: Floats) -> None:
        """The model as it is, in its own windows."""
        model = self._made(stepwise=False)
        window = self._entry.shape[1] or len(xs)
        stateful = is_stateful(self._model)
        count = max(len(xs) // window, 1) if stateful else 1
        for start in range(0, count * window, window):
            piece = xs[start : start + window]
            if len(piece) < window:
                return  # the samples are shorter than a window
            y = model(self._laid_out(piece, window), training=False)
            y = _numpy(_first(y))[0]
            right = expected[start : start + window]
            difference = float(np.abs(y - (right if y.ndim == 2 else right[-1])).max())
            limit = DOUBLE if self.double else SINGLE
            if not difference <= limit * max(1.0, float(np.abs(right).max())):
                raise ConversionError(
                    f"the model as it is and the one that answers at each step differ by "
                    f"{difference:.2g} in {self.tool}. Please report this net"
                )

    def _made(self, *, stepwise: bool) -> Any:
        """Of the cleaned configuration, with the file's weights as float32 has them."""
        keras = _keras()
        config = for_keras(self._model, stepwise=stepwise)
        model = keras.saving.deserialize_keras_object(config, safe_mode=True)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.weights.h5"
            path.write_bytes(self._h5)
            model.load_weights(path)
        for weight in model.weights:
            weight.assign(_numpy(weight).astype(np.float32).astype(np.float64))
        return model


def is_stateful(model: Item) -> bool:
    """Whether a call goes on where the last one ended. A convolution never does."""
    items = list(every(model))
    own = [item.options[STATEFUL] for item in items if STATEFUL in item.options]
    return all(own) and not any(item.kind == "Conv1D" for item in items)


def _keras() -> Any:
    """Keras, on PyTorch unless it is set up or there already."""
    if "keras" not in sys.modules:
        os.environ.setdefault("KERAS_BACKEND", "torch")
    try:
        import keras
    except Exception as e:  # of its backend too, which may be anything
        raise ConversionError(f"Keras can't be loaded: {str(e).splitlines()[0]}") from e
    return keras


def _first(values: Any) -> Any:
    while isinstance(values, list | tuple | dict):
        values = next(iter(values.values())) if isinstance(values, dict) else values[0]
    return values


def _numpy(value: Any) -> Floats:
    return np.asarray(_keras().ops.convert_to_numpy(value))


@contextlib.contextmanager
def _refused() -> Iterator[None]:
    keras = _keras()
    try:
        with warnings.catch_warnings(), keras.device("cpu"):
            warnings.simplefilter("ignore")
            yield
    except ConversionError:
        raise
    except Exception as e:  # its errors have no other base class
        why = (str(e).strip() or type(e).__name__).splitlines()[0]
        raise ConversionError(f"Keras does not take the model: {why}") from e
