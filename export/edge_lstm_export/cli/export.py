"""Turn a trained run into a bundle: ONNX, RKNN, report."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from edge_lstm.results.metrics import figure, titled
from edge_lstm.tasks.base import task_of
from edge_lstm_runtime import ConfigError
from edge_lstm_runtime.inputs.characters import Characters
from edge_lstm_runtime.native import PRECISIONS

from ..asked import check_c, check_paths, check_samples, named_model, wanted
from ..c.names import DEFAULT
from ..c.samples import KINDS, Samples
from ..c.style import CStyle
from ..npu import SIM_STEPS
from ..npu.targets import DEFAULT as TARGET
from ._shared import C, add_named, check_target, say

if TYPE_CHECKING:
    from ..work import Work

C_OPTIONS = ("prefix", "sample", "sample_scale", "count")
GOES_ON = True  # the work is more than its output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Turn a trained run into one bundle file: ONNX in two forms, simplified and verified; "
        "RKNN by the vendor's converter,\n"
        "streamed on its simulator; golden samples; and an HTML report beside it. Or, with "
        "--target c, into a folder of C source for\n"
        "boards without Python and for microcontrollers, with a self-test that has been built and "
        "run here.\n"
        "Exit code 1 when a graph or a converted model was out of tolerance and left out, when the "
        "converter died twice at\none, or when the test metric is not that of the training; the "
        "last lines say so."
    )
    parser.epilog = (
        "examples:\n"
        "  edge-lstm export runs/har --target rk3588 --scheme fp16 --scheme w8a8 -o har.edge\n"
        "  edge-lstm export runs/har --chunk 8 -o har.edge\n"
        "  edge-lstm export runs/har --no-npu -o har.edge\n"
        "  edge-lstm export runs/har --target c -o har-c\n"
        "  edge-lstm export har.edge --target c --scheme int8 -o har-c\n"
        "  edge-lstm export har.edge --target c --precision fp16 -o har-c\n"
        "  edge-lstm export har.edge --target c --prefix gesture --sample float -o gesture\n"
        "  edge-lstm export imported.edge --target rk3588 --samples x.npy --scheme w8a8 -o npu.edge"
    )
    parser.add_argument(
        "run",
        type=Path,
        metavar="RUN",
        help="the folder that `edge-lstm train -o RUN` made, or the bundle of an imported net; for "
        "--target c any bundle",
    )
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        required=True,
        metavar="NAME.edge",
        help="the bundle to write, with the report NAME.html; for --target c the folder",
    )
    add_named(parser)
    parser.add_argument(
        "--target",
        action="append",
        metavar="NAME",
        help=f"an NPU of `edge-lstm targets`, may be repeated (default: {TARGET}); or `c` for "
        "C source, alone or with one NPU whose model the bundle has and whose vendor gives C",
    )
    parser.add_argument(
        "--scheme",
        "--precision",
        action="append",
        metavar="NAME",
        help="a number format of the target; may be repeated (default: those of fp16 and w8a8 that "
        "it takes). For --target c one of float32 (the default), fp16 (or float16) and int8, and "
        "one of the NPU's",
    )
    parser.add_argument(
        "--samples",
        type=Path,
        metavar="FILE",
        help="for the bundle of an imported net: inputs of the net, as of `edge-lstm import`. All "
        "number formats but fp16 need them",
    )
    parser.add_argument(
        "--chunk",
        type=int,
        metavar="T",
        help="of each target and scheme a further converted model that answers T steps at a time, "
        "2 to 1024: TARGET-SCHEME-tT.rknn. It pays for whole recordings and batches of sensor "
        "data: T times fewer calls of the NPU, and in w8a8 the state is rounded to int8 between "
        "calls T times less often. A live stream waits for T samples until it has their answers; "
        "single steps run on NumPy. A bidirectional model has this form alone, "
        "TARGET-SCHEME-tT.rknn, for whole sequences of T steps (default: the length of the test "
        "recordings, if they all have the same); sequences of another length run on NumPy",
    )
    parser.add_argument(
        "--sim-steps",
        type=int,
        metavar="N",
        help="the steps of the test split that the simulator streams of each converted model, "
        f"reset and again never reset (default: {SIM_STEPS:,}). If the split has more, whole "
        "recordings are drawn, the classes in turn, and the verdict names the part that it rests "
        "on",
    )
    parser.add_argument(
        "--no-npu",
        action="store_true",
        default=None,
        help="ONNX and NumPy only: don't run the vendor's converter",
    )

    _add_c_arguments(parser.add_argument_group("options of --target c"))


def _add_c_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--prefix",
        metavar="NAME",
        help="of all names in C and of the files, such as gesture for gesture_step in gesture.h; "
        f"so several models link into one firmware (default: {DEFAULT})",
    )
    group.add_argument(
        "--sample",
        choices=KINDS,
        help="the type of a sample in C (default: double). With float and int16 a step computes "
        "nothing in double, which a Cortex-M4F has no FPU for",
    )
    group.add_argument(
        "--sample-scale",
        metavar="S[,S...]",
        help="of --sample int16: the raw units of one count, for all channels or for each "
        "(default: 1)",
    )
    group.add_argument(
        "--count",
        action="store_true",
        default=None,
        help="have QEMU count the instructions of a step on a Cortex-M4F, and write them into the "
        "folder's README. It needs arm-none-eabi-gcc with newlib, and qemu-system-arm",
    )


def main(arguments: argparse.Namespace) -> int:
    for target in arguments.target or ():
        check_target(target)
    if C in (arguments.target or ()):
        return _main_export_c(arguments)
    for option in C_OPTIONS:
        if getattr(arguments, option) is not None:
            raise ConfigError(f"--{option.replace('_', '-')} is for --target c; leave it out")
    from_bundle = arguments.run.suffix == ".edge"
    if arguments.samples is not None and not from_bundle:
        raise ConfigError(
            "--samples is for the bundle of an imported net; a run has the data of its training"
        )
    for option in ("scheme", "chunk", "sim_steps"):
        if arguments.no_npu and getattr(arguments, option) is not None:
            named = f"--{option.replace('_', '-')}"
            raise ConfigError(f"--no-npu and {named} contradict each other; leave one out")
    schemes = (
        ()
        if arguments.no_npu
        else tuple(dict.fromkeys(arguments.scheme))
        if arguments.scheme
        else None
    )
    targets = arguments.target or (TARGET,)
    sim_steps = SIM_STEPS if arguments.sim_steps is None else arguments.sim_steps
    formats = wanted(targets, schemes, arguments.chunk, sim_steps, imported=from_bundle)
    run = arguments.run
    read = [path for path in (run, arguments.samples) if path is not None] if from_bundle else []
    named_model(arguments.name, arguments.version)
    check_paths(None if from_bundle else run, arguments.out, read)
    if from_bundle:
        check_samples(formats, synthetic=arguments.samples is None)
        for path in read:
            if not path.is_file():
                raise ConfigError(f"{path}: there is no such file")
        from ..imported import import_net  # takes seconds

        run = import_net(run, arguments.samples)
    from ..pipeline import export_run  # takes seconds

    work = export_run(
        run,
        arguments.out,
        targets=targets,
        schemes=schemes,
        chunk=arguments.chunk,
        sim_steps=sim_steps,
        name=arguments.name,
        version=arguments.version,
        say=say,
    )
    print(summary(work))
    return 1 if work.left_out or work.doubts else 0


def _main_export_c(arguments: argparse.Namespace) -> int:
    npus = [target for target in dict.fromkeys(arguments.target) if target != C]
    if len(npus) > 1:
        raise ConfigError(
            f"a C folder is for one NPU and --target names {len(npus)}: {', '.join(npus)}; "
            "export to several folders"
        )
    npu = "".join(npus)
    for option in ("chunk", "sim_steps", "no_npu", "samples", "name", "version"):
        if getattr(arguments, option) is not None:
            what = "a bundle" if option in ("name", "version") else "an NPU's bundle"
            raise ConfigError(
                f"--{option.replace('_', '-')} is for {what}; leave it out with --target c"
            )
    named = {"fp16": "float16"}  # as the NPUs' formats are named
    asked = dict.fromkeys(named.get(s, s) for s in arguments.scheme or ())
    of_npu = [s for s in asked if npu and s not in PRECISIONS]
    schemes = [s for s in asked if s not in of_npu] or [PRECISIONS[0]]
    for what, found in (("model", schemes), (f"model for {npu}", of_npu)):
        if len(found) > 1:
            raise ConfigError(
                f"a C folder holds one {what} and --scheme names {len(found)}: "
                f"{', '.join(found)}; export twice, to two folders"
            )
    (scheme,) = schemes
    style = CStyle(
        DEFAULT if arguments.prefix is None else arguments.prefix,
        Samples(arguments.sample or "double", _scales(arguments.sample_scale)),
        bool(arguments.count),
        npu,
        "".join(of_npu),
    )
    check_c(arguments.run, arguments.out, scheme, style)
    from ..c.export import export_c  # takes seconds

    made = export_c(arguments.run, arguments.out, scheme=scheme, style=style, say=say)
    print(
        f"{'scheme':<12}{'constants':>10}{'RAM':>10}{'max abs':>10}{'NRMSE':>10}"
        "  figures from NumPy, of the network's outputs"
    )
    for name, s in made.schemes.items():
        mark = "  <- in the folder" if name == scheme else ""
        print(
            f"{name:<12}{s.flash:>8} B{s.ram:>8} B"
            f"{s.comparison.max_abs:10.1e}{s.comparison.nrmse:10.1e}{mark}"
        )
    built = made.built
    print(f"\nself-test  {built.verdict}")
    if built.compiler:
        print(
            f"built by   {built.compiler}"
            + (f"; the kernel's code: {built.code_bytes} B" if built.code_bytes else "")
        )
    if made.npu:
        print(f"NPU        {made.npu}")
    print(f"folder     {arguments.out}\nnext       make -C {shlex.quote(str(arguments.out))} test")
    return 0


def _scales(text: str | None) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(",")) if text is not None else ()
    except ValueError:
        raise ConfigError(
            f"--sample-scale {text}: expected a number, or one for each channel with commas between"
        ) from None


def summary(work: Work) -> str:
    """The closing lines of an export: accuracy, where things are, and last what was left out."""
    samples = f"over the {len(work.stream):,} golden samples"
    lines = ["", f"{'backend':<34}{'max abs':>10}{'NRMSE':>10}  {samples}; figures from"]
    for name, a in work.accuracy.items():
        lines.append(
            f"{name!s:<34}{a.comparison.max_abs:10.1e}{a.comparison.nrmse:10.1e}  {a.source}"
        )
    lines += [f"{name}: {judgement.sentence}" for name, judgement in work.judgements.items()]
    for name, metrics in work.metrics.items():
        shown = task_of(work.spec).printed
        figures = titled(metrics, dict(zip(shown, shown, strict=True)))
        told = "  ".join(f"{key} {figure(value)}" for key, value in figures.items())
        judgement = work.judgements.get(name.reset())
        part = (
            f" part: {judgement.streamed.steps:,} steps"
            if judgement and not judgement.streamed.whole
            else ""
        )
        lines.append(f"{name!s:<52}{told} (test{part})")
    lines += [f"note: {note}" for note in work.notes]
    size = work.out.stat().st_size / 1000
    lines += ["", f"bundle  {work.out} ({size:.0f} kB)", f"report  {work.out.with_suffix('.html')}"]
    bundle = shlex.quote(str(work.out))
    stream = (
        f'generate {bundle} --prompt "the "'
        if isinstance(work.spec.inputs, Characters)
        else f"run {bundle} --input {'SOUND.wav' if work.spec.inputs.sound else 'FILE.csv'}"
    )
    lines += [f"next    edge-lstm check {bundle}", f"        edge-lstm {stream}"]
    if work.left_out:
        names = ", ".join(work.left_out)
        lines += ["", f"LEFT OUT, being out of tolerance: {names}; the rest is in {work.out}"]
    if work.doubts:
        lines += ["", *(f"DOUBTFUL: {doubt}" for doubt in work.doubts)]
    return "\n".join(lines)
