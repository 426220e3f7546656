"""The forms that are tried for RKNN, and the conversion of one of them.

With a chunk of T steps, ONNX's operators over T steps are a further form. For a network that needs
whole sequences they are the only one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...graphs.form import Form
from ...graphs.npu import FORMS, whole
from ...graphs.step import FORM
from ...graphs.step_npu import four_d
from ...work import Work
from ..converted import Job
from .conversion import Conversion
from .converter import Converter
from .prepare import learned, products
from .targets import known

FUSED = "fused"  # takes more than twice as long as another


def candidates(target: str, scheme: str) -> tuple[str, ...]:
    """The forms that are tried, best first if they measure alike.

    `packed` is for w8a8 alone, on NPUs that have float16 as well.
    """
    both = scheme == "w8a8" and "fp16" in known(target).schemes
    return ("packed", "cell", FUSED) if both else ("cell", FUSED)


def jobs(work: Work, target: str, scheme: str) -> list[Job]:
    forms = candidates(target, scheme) if work.step is None else (FORM,)
    single = () if work.spec.whole else forms
    found = [Job(target, scheme, form, slow=form == FUSED) for form in single]
    if work.chunk:
        found.append(Job(target, scheme, FUSED, work.chunk, slow=True))
    return found


def form(work: Work, name: str, steps: int) -> Form:
    several: dict[str, Any] = {"steps": steps} if steps > 1 else {}
    if work.step is not None:
        return four_d(work.spec, work.step.model, work.rows)
    if work.spec.whole:
        return whole(work.spec, work.weights, steps)
    make = FORMS[name]
    return make(work.spec, work.weights, work.calibration, products=products(work), **several)


def convert(work: Work, job: Job, form: Form, log_file: Path) -> Converter:
    graph = form.graph.SerializeToString()
    conversion = Conversion(work.spec, graph, form.recipe, job.target, job.scheme, work.calibration)
    return Converter(conversion, say=work.say, log_file=log_file, batch=work.batch)


def notes(work: Work, kept: Job) -> Sequence[str]:
    if (kept.form, kept.scheme) != ("packed", "w8a8") or not work.run.w8a8:
        return ()
    if learned(work.run):
        return ("weights and ranges are those that it was fine-tuned with",)
    return ("the run was fine-tuned for an earlier form of the int8 cell; its ranges are not used",)
