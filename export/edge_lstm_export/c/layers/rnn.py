"""RNN with its activation, see rnn.c."""

from edge_lstm_runtime.native import ACTIVATIONS as NUMBERS

from . import ACTIVATIONS, NONE, Form, Product, Stage

_ALL = Product(0, (0,))
FORMS = {
    NUMBERS.index(name): Form(1, (Stage(((0,),), (ACTIVATIONS[name],), (_ALL, _ALL, NONE)),))
    for name in ("tanh", "relu")
}
