"""Combine with its operation, see combine.c. It has no weights."""

from . import Form

FORMS = (Form(0, ()),) * 3
