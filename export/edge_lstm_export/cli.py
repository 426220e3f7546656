"""The verbs `export`, `inspect`, `lint`, `targets`, `converter` and `demo`."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from edge_lstm_runtime import ConfigError, ConversionError
from edge_lstm_runtime.bundle import read_bundle

from .target_table import Target, known, limits, schemes, source, targets
from .work import Work

if TYPE_CHECKING:
    import onnx


C = "c"  # the target that is no NPU


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def add_arguments_export(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Turn a trained run into one bundle file: ONNX in two forms, simplified and verified; RKNN by the vendor's converter,\n"
        "streamed on its simulator; golden samples; and an HTML report beside it. Or, with --target c, into a folder of C source for\n"
        "boards without Python and for microcontrollers, with a self-test that has been built and run here.\n"
        "Exit code 1 when a graph or a converted model was out of tolerance and left out; "
        "the last line names it."
    )
    parser.epilog = (
        "examples:\n"
        "  edge-lstm export runs/har --target rk3588 --scheme fp16 --scheme w8a8 -o har.edge\n"
        "  edge-lstm export runs/har --chunk 8 -o har.edge\n"
        "  edge-lstm export runs/har --no-npu -o har.edge\n"
        "  edge-lstm export runs/har --target c -o har-c\n"
        "  edge-lstm export har.edge --target c --scheme int8 -o har-c"
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder that `edge-lstm train -o RUN` made; for --target c also a bundle")
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        required=True,
        metavar="NAME.edge",
        help="the bundle to write, with the report NAME.html; for --target c the folder",
    )
    parser.add_argument(
        "--target",
        action="append",
        metavar="NAME",
        help="an NPU of `edge-lstm targets`, may be repeated (default: rk3588); or `c`, alone, for C source",
    )
    parser.add_argument(
        "--scheme",
        action="append",
        metavar="NAME",
        help="a number format of the target; may be repeated (default: fp16 and w8a8, where it takes them). For --target c one of float32 "
        "(the default) and int8",
    )
    parser.add_argument(
        "--chunk",
        type=int,
        metavar="T",
        help="of each target and scheme a further converted model that answers T steps at a time, 2 to 1024: TARGET-SCHEME-tT.rknn. "
        "It pays for whole recordings and batches of sensor data: T times fewer calls of the NPU, and in w8a8 the state is rounded to int8 "
        "between calls T times less often. A live stream waits for T samples until it has their answers; single steps run on NumPy. "
        "A bidirectional model has this form alone, TARGET-SCHEME-tT.rknn, for whole sequences of T steps (default: the length of the test "
        "recordings, where they all have the same); sequences of another length run on NumPy",
    )
    parser.add_argument("--no-npu", action="store_true", help="ONNX and NumPy only: don't run the vendor's converter")


def main_export(arguments: argparse.Namespace) -> int:
    if C in (arguments.target or ()):
        return _main_export_c(arguments)
    from .pipeline import export_run

    if arguments.run.suffix == ".edge":
        raise ConfigError(f"{arguments.run} is a bundle, from which --target c alone is exported; give the run that it was made from")
    for option in ("scheme", "chunk"):
        if arguments.no_npu and getattr(arguments, option) is not None:
            raise ConfigError(f"--no-npu and --{option} contradict each other; leave one out")
    schemes = () if arguments.no_npu else tuple(dict.fromkeys(arguments.scheme)) if arguments.scheme else None
    targets = arguments.target or ("rk3588",)
    work = export_run(arguments.run, arguments.out, targets=targets, schemes=schemes, chunk=arguments.chunk, say=_say)
    print(summary(work))
    return 1 if work.left_out else 0


def _main_export_c(arguments: argparse.Namespace) -> int:
    from .c.export import export_c

    if set(arguments.target) != {C}:
        raise ConfigError(
            "--target c writes a folder of C source and an NPU's target a bundle; export twice, with -o FOLDER and -o NAME.edge"
        )
    for option in ("chunk", "no_npu"):
        if getattr(arguments, option):
            raise ConfigError(f"--{option.replace('_', '-')} is for an NPU's bundle; leave it out with --target c")
    schemes = dict.fromkeys(arguments.scheme or ("float32",))
    if len(schemes) > 1:
        raise ConfigError(
            f"a C folder holds one model and --scheme names {len(schemes)}: {', '.join(schemes)}; export twice, to two folders"
        )
    (scheme,) = schemes
    made = export_c(arguments.run, arguments.out, scheme=scheme, say=_say)
    print(f"{'scheme':<12}{'constants':>10}{'RAM':>10}{'max abs':>10}{'NRMSE':>10}  figures from NumPy, of the network's outputs")
    for name, s in made.schemes.items():
        mark = "  <- in the folder" if name == scheme else ""
        print(f"{name:<12}{s.flash:>8} B{s.ram:>8} B{s.comparison.max_abs:10.1e}{s.comparison.nrmse:10.1e}{mark}")
    built = made.built
    print(f"\nself-test  {built.verdict}")
    if built.compiler:
        print(f"built by   {built.compiler}" + (f"; the kernel's code: {built.code_bytes} B" if built.code_bytes else ""))
    print(f"folder     {arguments.out}\nnext       make -C {arguments.out} test")
    return 0


def summary(work: Work) -> str:
    """The closing lines of an export: accuracy, where things are, and last what was left out."""
    samples = f"over the {len(work.stream):,} golden samples"
    lines = ["", f"{'backend':<34}{'max abs':>10}{'NRMSE':>10}  {samples}; figures from"]
    for name, a in work.accuracy.items():
        lines.append(f"{name:<34}{a.comparison.max_abs:10.1e}{a.comparison.nrmse:10.1e}  {a.source}")
    lines += [f"{name}: {judgement.sentence}" for name, judgement in work.judgements.items()]
    for name, metrics in work.metrics.items():
        shown = {
            "classify": ("accuracy", "macro_f1"),
            "forecast": ("mae", "rmse", "nrmse"),
            "regress": ("mae", "rmse", "rmse_last"),
            "language": ("bits_per_character", "perplexity"),
        }[work.spec.task]
        lines.append(f"{name:<52}" + "  ".join(f"{key} {metrics[key]:.4g}" for key in shown) + " (test)")
    lines += [f"note: {note}" for note in work.notes]
    size = work.out.stat().st_size / 1024
    lines += ["", f"bundle  {work.out} ({size:.0f} kB)", f"report  {work.out.with_suffix('.html')}"]
    stream = f'generate {work.out} --prompt "the "' if work.spec.task == "language" else f"run {work.out} --input FILE.csv"
    lines += [f"next    edge-lstm check {work.out}", f"        edge-lstm {stream}"]
    if work.left_out:
        names = ", ".join(work.left_out)
        lines += ["", f"LEFT OUT, being out of tolerance: {names}; the rest is in {work.out}"]
    return "\n".join(lines)


def add_arguments_inspect(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Look inside a trained model: how its gates are distributed, what its cell remembers, how long one sample is felt, which channels\n"
        "matter (of a language model: how much context it uses), how far back the gradient reaches. One HTML page with a picture and a\n"
        "few plain sentences for each."
    )
    parser.epilog = (
        "examples:\n"
        "  edge-lstm inspect runs/har\n"
        "  edge-lstm inspect runs/har --input recording.csv -o har-inside.html\n"
        "  edge-lstm inspect runs/har --json > har-inside.json\n"
        "  edge-lstm inspect runs/prose --input letter.txt"
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder that `edge-lstm train -o RUN` made")
    parser.add_argument("-o", "--out", type=Path, metavar="FILE.html", help="the page to write (default: RUN/inspect.html)")
    parser.add_argument(
        "--input",
        type=Path,
        metavar="FILE",
        help="the recording on which the cell's memory is shown: CSV of the model's channels, raw units; for a language model a text "
        "(default: the longest of the test split)",
    )
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object; a page is then written with -o only")


def main_inspect(arguments: argparse.Namespace) -> int:
    from .inspect import inspect_run
    from .inspect.write_page import write_page

    inside = inspect_run(arguments.run, arguments.input)
    out = arguments.out or (None if arguments.json else arguments.run / "inspect.html")
    if out:
        write_page(inside, out)
    figures = inside.to_dict()
    if arguments.json:
        print(json.dumps(figures, allow_nan=False))
        return 0
    for look in inside.looks:
        for sentence in figures[look]["sentences"]:
            print(textwrap.fill(sentence, 118, initial_indent=f"{look:<11}", subsequent_indent=" " * 11))
    print(f"\npage       {out}")
    return 0


def add_arguments_targets(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "List the NPU targets and the number formats that each takes; with a name, all that is known of one and from where."
    )
    parser.epilog = "examples:\n  edge-lstm targets\n  edge-lstm targets rv1106"
    parser.add_argument("name", nargs="?", metavar="NAME", help="one target")


def main_targets(arguments: argparse.Namespace) -> int:
    if arguments.name == C:
        print("c\n  C99 source for any 32- or 64-bit CPU: edge-lstm export RUN --target c -o FOLDER\n  schemes        float32, int8")
        return 0
    if arguments.name:
        print(_one_target(known(arguments.name)))
        return 0
    print(f"{'target':<10}{'cores':<7}{'schemes':<21}{'LSTM operator':<16}{'Python there':<14}boards")
    for t in targets().values():
        print(f"{t.name:<10}{t.cores or '?':<7}{', '.join(t.schemes):<21}{t.lstm:<16}{t.python:<14}{t.boards or '?'}")
    print(f"{C:<10}{'-':<7}{'float32, int8':<21}{'-':<16}{'not needed':<14}no NPU: any CPU, any microcontroller")
    print("\nPython there: rknn-toolkit-lite2 runs on its boards. observed: by the converter, not from the manual. ?: unknown.")
    return 0


def _one_target(t: Target) -> str:
    """All that the table knows of a target, each fact with its sources, then the documents."""
    formats = f" ({', '.join(t.lstm_formats)})" if t.lstm_formats else ""
    manual = {True: f"listed{formats}", False: "not listed", None: "unknown"}[t.lstm_manual]
    meanings = schemes()
    rows = [
        ("generation", "generation", str(t.generation or "unknown")),
        ("cores", "cores", str(t.cores or "unknown")),
        ("TOPS", "tops", f"{t.tops:g}" if t.tops else "unknown"),
        *(("scheme" if n else "schemes", "" if n else "schemes", f"{s}: {meanings[s]}") for n, s in enumerate(t.schemes)),
        ("simulated", "", f"{', '.join(t.verified) or 'none'} (streamed on the simulator in this project's tests)"),
        *(("not offered", "", f"{s}: {reason}") for s, reason in t.refused.items()),
        ("LSTM operator", "lstm", f"in the manual: {manual}; by the converter: on the {'NPU' if t.lstm_npu else 'CPU'}"),
        *(("", "", f"stored as float16 in {s}") for s in t.lstm_float16),
        ("Python", "python", f"{t.python} (rknn-toolkit-lite2 on its boards)"),
        ("library", "runtime", t.runtime or "unknown"),
        ("boards", "boards", t.boards or "unknown"),
    ]
    if t.reshape:
        rows.append(
            ("alignment", "reshape", ", ".join(f"{n} in {s}" for s, n in t.reshape.items()) + " (of a size where four dimensions end)")
        )
    limit = limits()
    rows += [
        ("limits", "", "of the LSTM operator, the same in every chapter that lists it  [operators]"),
        ("", "", f"batch 1 or a multiple of {limit.batch_multiple}; steps, batch, inputs and hidden up to {limit.size}"),
        ("", "", f"advised: hidden a multiple of {limit.hidden_multiple}, steps of {limit.steps_multiple}"),
    ]
    lines = [t.name]
    for label, fact, text in rows:
        keys = ", ".join(key.partition(":")[0] for key in t.sources.get(fact, ()))
        lines.append(f"  {label:<15}{text}" + (f"  [{keys}]" if keys else ""))
    used = dict.fromkeys(key for keys in t.sources.values() for key in keys)
    if not any(key.startswith("operators") for key in used):
        used["operators"] = None
    return "\n".join([*lines, "sources", *(f"  {key:<18}{source(key)}" for key in used)])


def add_arguments_lint(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Check an ONNX graph, or the graphs of a bundle, for what the vendor's converter can't take or takes badly, without starting it.\n"
        "One finding a line, with what to change. Exit code 1 when one is an error."
    )
    parser.epilog = "examples:\n  edge-lstm lint model.onnx --target rk3588 --scheme w8a8\n  edge-lstm lint --rules"
    parser.add_argument("graph", nargs="?", type=Path, metavar="GRAPH.onnx|BUNDLE.edge", help="what to check")
    parser.add_argument("--target", metavar="NAME", help="an NPU of `edge-lstm targets`")
    parser.add_argument("--scheme", metavar="NAME", help="a number format")
    parser.add_argument("--rules", action="store_true", help="list the rules instead")


def main_lint(arguments: argparse.Namespace) -> int:
    from .rknn.lint import RULES, lint

    if arguments.rules:
        for name, rule in RULES.items():
            print(f"{name} ({rule.level})\n" + textwrap.fill(rule.doc, 118, initial_indent="  ", subsequent_indent="  "))
        return 0
    for option, value in (("a graph", arguments.graph), ("--target", arguments.target), ("--scheme", arguments.scheme)):
        if value is None:
            raise ConfigError(f"lint needs {option}; as in: edge-lstm lint model.onnx --target rk3588 --scheme w8a8")
    failed = 0
    graphs = _graphs(arguments.graph)
    for name, graph in graphs.items():
        findings = lint(graph, arguments.target, arguments.scheme)
        failed += any(f.level == "error" for f in findings)
        prefix = f"{name}: " if len(graphs) > 1 else ""
        print("\n".join(f"{prefix}{finding}" for finding in findings) or f"{prefix}no findings")
    return 1 if failed else 0


def _graphs(path: Path) -> dict[str, onnx.ModelProto]:
    """The graph of an ONNX file, or those that a bundle's converted models are made from."""
    import onnx

    if path.suffix == ".edge":
        bundle = read_bundle(path)
        names = dict.fromkeys(entry.get("graph", "cell.onnx") for entry in bundle.manifest.get("artifacts", {}).values())
        streamed = "cell.onnx" if "cell.onnx" in bundle.members else "model.onnx"  # a bidirectional model has no cell
        contents = {name: bundle.member(name) for name in names or (streamed,)}
    else:
        try:
            contents = {str(path): path.read_bytes()}
        except OSError as e:
            raise ConfigError(f"can't read {path}: {e.strerror or e}") from e
    graphs = {}
    for name, content in contents.items():
        try:
            graphs[name] = onnx.load_model_from_string(content)
            onnx.checker.check_model(graphs[name])
        except Exception as e:  # the parser and the checker answer a wrong file with almost any exception
            reason = next((line for line in str(e).splitlines() if line.strip()), type(e).__name__)
            raise ConfigError(f"{name} is not a valid ONNX graph: {reason}") from e
    return graphs


def add_arguments_converter(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "The environment that holds the vendor's converter, rknn-toolkit2: show it, make it before it is needed, or remove it.\n"
        "An export makes it on first use, and again when it finds it damaged; once made it needs no network."
    )
    parser.epilog = (
        "examples:\n"
        "  edge-lstm converter           where it is, its size, and whether it is whole\n"
        "  edge-lstm converter make      make it now, as before going offline\n"
        "  edge-lstm converter remove    remove it, and those of earlier versions\n"
        "EDGE_LSTM_CACHE names the folder that holds it. Proxy, index and wheel folder: as for pip or uv (PIP_*, UV_*, pip's files).\n"
        "EDGE_LSTM_CONVERTER_MEMORY_GB limits the memory of a conversion (default: 8)."
    )
    parser.add_argument(
        "action", nargs="?", choices=("status", "make", "remove"), default="status", help="what to do (default: %(default)s)"
    )


def main_converter(arguments: argparse.Namespace) -> int:
    from .rknn import environment

    if reason := environment.unsupported_reason():
        raise ConversionError(f"there is no converter here: {reason}")
    if arguments.action == "make":
        environment.python(_say)
    elif arguments.action == "remove":
        removed = environment.remove(_say)
        print("\n".join(f"removed {path}" for path in removed) or f"nothing to remove: {environment.location()} is not there")
        return 0
    found = environment.state()
    print(f"folder         {found.home}")
    if found.damage is None:
        print("state          ready")
    elif found.damage:
        print(f"state          damaged: {found.damage}; the next export makes it again")
    else:
        print("state          not made; the first export makes it, or `edge-lstm converter make`")
    if found.bytes:
        print(f"size           {found.bytes / 1e9:.2f} GB")
    if found.toolkit:
        print(f"python         {found.python}\nrknn-toolkit2  {found.toolkit}")
    for other in environment.others():
        print(f"not in use     {other} (of another version; `edge-lstm converter remove` removes it too)")
    return 0


def add_arguments_demo(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "The whole line on real data (BasicMotions: accelerometer and gyroscope, 4 activities): train, export for RK3588,\n"
        "check every backend that runs here, stream one recording, and write the report."
    )
    parser.add_argument(
        "-o", "--out", type=Path, default=Path("build/demo"), metavar="FOLDER", help="default: %(default)s; replaced if there"
    )


def main_demo(arguments: argparse.Namespace) -> int:
    from .demo import demo

    return demo(arguments.out, _say)
