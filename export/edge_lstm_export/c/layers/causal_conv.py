"""Causal convolution with its activation, see causal_conv.c. The option is EL_CONV."""

from edge_lstm_runtime.native import NUMBER_BITS

from . import ACTIVATIONS, NONE, Form, Product, Stage

_FACTORS = tuple(ACTIVATIONS.values())


def FORMS(option: int, inputs: int) -> Form:  # noqa: N802
    before = option % 2**NUMBER_BITS  # steps that are multiplied before the newest
    dilation = 1 + (option >> NUMBER_BITS) % 2**NUMBER_BITS
    factor = _FACTORS[option >> 2 * NUMBER_BITS]
    stage = Stage(((0,),), (factor,), (Product(0, (0,)), NONE, NONE))
    return Form(0, (stage,), rows=(before + 1) * inputs, past=before * dilation * inputs)
