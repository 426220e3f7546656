"""Step 2: the ONNX graphs, in each form that the model has."""

from __future__ import annotations

import dataclasses

from ..graphs.bundle import build, forms_of
from ..graphs.step import FORM
from ..work import Work


def call(work: Work) -> Work:
    if work.step is not None:
        return dataclasses.replace(work, graphs={FORM: work.step.model})
    return dataclasses.replace(
        work, graphs={form: build(work.spec, work.weights, form) for form in forms_of(work.spec)}
    )
