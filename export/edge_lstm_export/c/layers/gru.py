"""GRU, see gru.c. Its reset gate comes before the recurrent product, in two stages, or after."""

from . import NONE, SIGMOID, TANH, Form, Product, Stage

_INPUT = Product(0, (2, 0, 1))
_FIRST = Stage(((2,), (0,), (1,)), (TANH, SIGMOID, SIGMOID), (_INPUT, Product(1, (0, 1)), NONE))
_SECOND = Stage(((),), (TANH,), (NONE, NONE, Product(0, (0,))))
_AFTER = Stage(
    ((2,), (0,), (1,), (3,)),
    (TANH, SIGMOID, SIGMOID, TANH),
    (_INPUT, Product(1, (0, 1, 2)), NONE),
)
FORMS = (Form(1, (_FIRST, _SECOND), made=3), Form(1, (_AFTER,)))
