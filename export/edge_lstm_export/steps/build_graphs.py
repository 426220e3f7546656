"""Step 2: the ONNX graphs, in both forms."""

from __future__ import annotations

import dataclasses

from ..graphs import FORMS, build
from ..work import Work


def call(work: Work) -> Work:
    return dataclasses.replace(work, graphs={form: build(work.spec, work.weights, form) for form in FORMS})
