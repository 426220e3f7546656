"""The parts of a layer in a model of the C kernel. Each type has a file in this folder.

They are written here once more, beside the `forms` in the layer's C file, so that an export needs
neither a compiler nor a library for this machine. The tests compare the two byte for byte.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from edge_lstm_runtime import ConversionError
from edge_lstm_runtime.native import CLayer
from edge_lstm_runtime.registry import Registry

SIGMOID = float(-np.log2(np.e))  # factors of sums: the kernel works with powers of two
TANH = 2 * SIGMOID
ACTIVATIONS = {"none": 1.0, "tanh": TANH, "relu": 1.0, "sigmoid": SIGMOID}


@dataclasses.dataclass(frozen=True)
class Product:
    """first: the first of the sums that it adds to.
    columns: for each of these, which group of the canonical matrix's columns."""

    first: int
    columns: tuple[int, ...]


NONE = Product(0, ())


@dataclasses.dataclass(frozen=True)
class Stage:
    """biases    for each sum, which groups of the canonical b
    factors   for each sum
    products  with the input, with the output of the step before, with the first stage's result
    """

    biases: tuple[tuple[int, ...], ...]
    factors: tuple[float, ...]
    products: tuple[Product, Product, Product]

    @property
    def columns(self) -> int:
        return sum(len(product.columns) for product in self.products)


@dataclasses.dataclass(frozen=True)
class Form:
    """A layer type with one of its options.

    states   0 for a plain layer. It is always float32, and its input is not filled up
    made     rows that the first stage makes for the next one
    rows     of W_x, if they are not the inputs
    past     values of earlier inputs that it keeps
    """

    states: int
    stages: tuple[Stage, ...]
    made: int = 0
    rows: int | None = None
    past: int = 0


FORMS = Registry(
    __name__, "edge_lstm.c_layers", "layer type of the C export", "FORMS", unknown=ConversionError
)


def form_of(layer: CLayer, inputs: int) -> Form:
    """The Form of a layer that reads so many values.

    The type's file has FORMS, by option, or as a function of the option and the inputs.
    """
    forms = FORMS.load(layer.type).FORMS
    found: Form = forms(layer.option, inputs) if callable(forms) else forms[layer.option]
    return found


def vectors(*factors: float) -> Stage:
    """Of a layer that multiplies no matrix, but has a weight for each unit by each factor."""
    groups = tuple((k,) for k in range(len(factors)))
    return Stage(groups, factors, (NONE, NONE, NONE))
