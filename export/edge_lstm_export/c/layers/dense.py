"""Dense with its activation, see dense.c."""

from . import ACTIVATIONS, NONE, Form, Product, Stage

FORMS = tuple(
    Form(0, (Stage(((0,),), (factor,), (Product(0, (0,)), NONE, NONE)),))
    for factor in ACTIVATIONS.values()
)
