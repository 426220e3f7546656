"""Step 14: the time of a step on this machine, of each backend of a CPU.

The times are in the report and in the run's folder, and not in the bundle: the same inputs make the
same bundle.
"""

from __future__ import annotations

import contextlib
import dataclasses

from edge_lstm.runs.speed import write
from edge_lstm_runtime import BackendError, ConversionError
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.backends.registry import facts_of
from edge_lstm_runtime.files import failure
from edge_lstm_runtime.model.measured import Measured

from ..c.block import c_network, check_sizes, model_bytes, state_bytes
from ..measure import keys
from ..measure.recommend import recommend
from ..measure.speed import Speed, machine, time_backend
from ..work import Counted, Work
from .quantize_native import native_backend
from .round_native import half_backend

C_SCHEMES = ("float32", "float16", "int8")


def call(work: Work) -> Work:
    assert work.bundle is not None, "the bundle is timed"
    speeds: list[Speed] = []
    for name in work.accuracy:
        other = any(speed.name.backend == name.backend for speed in speeds)  # it runs one graph
        if facts_of(name.backend).runs_on != "cpu" or other:
            continue
        try:
            speeds.append(time_backend(work.bundle, name, _weights(work, name)))
        except BackendError as e:
            work.say(f"  {name} was not timed: {e}")
    work = dataclasses.replace(work, speeds=tuple(speeds), counted=tuple(_in_c(work)))
    found = recommend(work.speeds, work.judgements, imported=work.run.imported)
    work.say(f"  {found.sentences[0]}")
    if found.best is not None and not work.run.imported:
        _keep(work, found.best)
    return dataclasses.replace(work, recommended=found.sentences)


def _keep(work: Work, best: Speed) -> None:
    """The times in the run's folder too, for `edge-lstm runs`, if it can be written."""
    speeds = sorted(work.speeds, key=lambda speed: speed is not best)
    rows = [{**dataclasses.asdict(speed.name), **_figures(speed)} for speed in speeds]
    try:
        write(work.run.path, machine(), rows)
    except OSError as e:
        work.say(f"  {work.run.path}: the times are not kept there: {failure(e)}")


def _figures(speed: Speed) -> dict[str, float]:
    return {key: value for key, value in dataclasses.asdict(speed).items() if key != "name"}


def _weights(work: Work, name: Measured) -> int:
    """Bytes of the weights that a backend reads."""
    if name.member is not None and work.bundle is not None:
        return int(work.bundle.manifest["members"][name.member]["bytes"])
    if name == keys.NATIVE:
        return NativeBackend(work.spec, work.weights).weight_bytes
    if name == keys.NATIVE_INT8:
        return native_backend(work, work.native_int8).weight_bytes
    if name == keys.NATIVE_FP16:
        return half_backend(work).weight_bytes
    return sum(array.nbytes for array in work.weights.values())


def _in_c(work: Work) -> list[Counted]:
    """What the C export would take on any board: counted, not measured."""
    found = []
    for scheme in C_SCHEMES:
        if scheme == "int8" and not work.native_int8:
            continue
        with contextlib.suppress(ConversionError, BackendError):
            check_sizes(work.spec, scheme)
            network = c_network(work.spec)
            sizes = model_bytes(network, scheme), state_bytes(network, scheme)
            found.append(Counted(scheme, *sizes))
    return found
