"""PReLU, see prelu.c: its slopes."""

from . import Form, vectors

FORMS = (Form(0, (vectors(1.0),)),)
