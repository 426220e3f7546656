"""The export: a list of steps, each with its line of progress."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from edge_lstm import load_run
from edge_lstm.threads import one
from edge_lstm_runtime import ConversionError
from edge_lstm_runtime.files import one_at_a_time

from .asked import check_paths, check_samples, named_model, of_step, wanted
from .exported import Exported
from .imported import Imported
from .npu import SIM_STEPS
from .npu.targets import DEFAULT
from .steps import (
    build_graphs,
    calibrate,
    convert,
    draw_stream,
    evaluate_task,
    inspect,
    measure_sizes,
    pack,
    quantize_native,
    round_native,
    simplify,
    simulate,
    time_backends,
    verify_float,
    write_report,
)
from .work import Work

STEPS: tuple[tuple[str, Callable[[Work], Work]], ...] = (
    ("golden stream and reference", draw_stream.call),
    ("ONNX graphs", build_graphs.call),
    ("onnxsim", simplify.call),
    ("float32 against the reference", verify_float.call),
    ("sizes of the states", measure_sizes.call),
    ("calibration set", calibrate.call),
    ("int8 for CPUs", quantize_native.call),
    ("float16 for CPUs", round_native.call),
    ("NPU conversion", convert.call),
    ("accuracy on the simulator", simulate.call),
    ("tensor by tensor, and drift", inspect.call),
    ("task metric on the test split", evaluate_task.call),
    ("bundle", pack.call),
    ("speed on this machine", time_backends.call),
    ("report", write_report.call),
)


def export_run(  # noqa: PLR0913 - options that stand by themselves
    run: Exported | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    targets: Sequence[str] = (DEFAULT,),
    schemes: Sequence[str] | None = None,
    chunk: int | None = None,
    sim_steps: int = SIM_STEPS,
    name: str | None = None,
    version: int | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Work:
    """Turn a trained run, or a net that was `Imported`, into the bundle `out` and the report
    beside it, `out` with .html.

    targets, schemes: NPUs and number formats. Each pair gets a converted model. If `schemes` is
    None, they are those of fp16 and w8a8 that the target takes, and for an imported net the one
    that rounds least, which is fp16 on most. If it is empty, the bundle has no converted model.

    chunk: 2 to 1024. Each pair gets a further converted model that takes that many steps at once.
    If it can't be made, a note in the bundle says why. For a bidirectional model, it is the length
    of sequence that its only converted models take. If it is left out, that is the length of the
    test recordings, if all have the same.

    sim_steps: the steps of the test split that the simulator streams of each converted model, reset
    and again never reset. If the split has more, whole recordings are drawn, the classes in turn,
    and the verdict names the part that it rests on.

    name, version: of the model, for its manifest: a word, and a whole number from 1 that grows from
    bundle to bundle (docs/trust.md). Both or none.

    say: takes lines of progress.

    `Work.doubts` has sentences on what should not be: a converter that died twice at a form, or a
    test metric that is not that of metrics.json. The bundle has them as notes.

    If a graph or a converted model is out of tolerance, the bundle goes without it, and
    `Work.left_out` has its name and the reason. Raises ConfigError for a target, scheme or chunk
    that is not offered. Raises ConversionError if a step fails, if NumPy itself is out of
    tolerance, if an imported net has no real samples to calibrate a scheme with, or if another
    process exports to `out`, which is then as it was.

    >>> import edge_lstm_export as ex
    >>> work = ex.export_run("runs/mine", "exported.edge", schemes=())  # no NPU
    >>> work
    Work('exported.edge', classify: 3 channels -> lstm 8 -> 2 classes)
    >>> dict(work.left_out), work.doubts
    ({}, ())
    """
    out = Path(out)
    imported = not isinstance(run, str | os.PathLike) and run.imported
    formats = wanted(targets, schemes, chunk, sim_steps, imported=imported)
    if not isinstance(run, str | os.PathLike):
        check_samples(formats, synthetic=run.synthetic)
    check_paths(run, out)
    model = named_model(name, version)
    with contextlib.ExitStack() as resources:
        resources.enter_context(one_at_a_time(out, ConversionError))
        resources.enter_context(one())
        if isinstance(run, str | os.PathLike):
            run = load_run(Path(run))
        if isinstance(run, Imported) and run.step is not None:
            formats = of_step(formats, chunk, named=schemes is not None)
        if not (isinstance(run.metrics, dict) and isinstance(run.metrics.get("test"), dict)):
            raise ConversionError(
                f"{run.path}: the training has not ended, there is no metrics.json with test "
                "metrics; go on with it by `edge-lstm train ... --resume`"
            )
        work = Work(
            run=run,
            schemes=formats,
            out=out,
            say=say,
            resources=resources,
            chunk=chunk if formats else None,
            model=model,
            sim_steps=sim_steps,
        )
        for number, (label, step) in enumerate(STEPS, start=1):
            start = time.perf_counter()
            work = step(work)
            say(f"[{number}/{len(STEPS)}] {label:<32}{time.perf_counter() - start:6.1f} s")
    return work
