"""LSTM, see lstm.c."""

from . import NONE, SIGMOID, TANH, Form, Product, Stage

_ALL = Product(0, (0, 1, 2, 3))
_STAGE = Stage(((0,), (1,), (2,), (3,)), (SIGMOID, SIGMOID, TANH, SIGMOID), (_ALL, _ALL, NONE))
FORMS = (Form(2, (_STAGE,)),)
