"""Scale with its activation, see scale.c: a and b."""

from . import ACTIVATIONS, Form, vectors

FORMS = tuple(Form(0, (vectors(factor, factor),)) for factor in ACTIVATIONS.values())
