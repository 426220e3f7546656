"""Step 2: the ONNX graphs, in each form that the model has."""

from __future__ import annotations

import dataclasses

from ..graphs.bundle import build, forms_of
from ..work import Work


def call(work: Work) -> Work:
    return dataclasses.replace(
        work, graphs={form: build(work.spec, work.weights, form) for form in forms_of(work.spec)}
    )
