"""Step 6: the vendor's converter, one model for each scheme. Where it can't run, the bundle is made without it and says so."""

from __future__ import annotations

import dataclasses

from ..rknn.environment import unsupported_reason
from ..rknn.process import Converter
from ..work import Work


def call(work: Work) -> Work:
    if not work.schemes:
        return work
    if reason := unsupported_reason():
        note = (
            f"no RKNN model for {work.target} was made: {reason}. "
            "The bundle runs on NumPy and ONNX Runtime; export it there to add the NPU."
        )
        work.say(note)
        return dataclasses.replace(work, notes=(*work.notes, note))
    graph = work.graphs["cell"].SerializeToString()
    converters = {}
    for scheme in work.schemes:
        log_file = work.out.with_name(f"{work.out.stem}-{work.target}-{scheme}.log")
        converter = Converter(work.spec, graph, work.target, scheme, work.calibration, say=work.say, log_file=log_file)
        converters[f"{work.target}-{scheme}.rknn"] = work.resources.enter_context(converter)
    return dataclasses.replace(work, converters=converters)
