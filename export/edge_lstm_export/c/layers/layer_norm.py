"""Layer normalization, see layer_norm.c: a and b. The option is epsilon."""

from . import Form, vectors


def FORMS(option: int, inputs: int) -> Form:  # noqa: ARG001, N802
    return Form(0, (vectors(1.0, 1.0),))
