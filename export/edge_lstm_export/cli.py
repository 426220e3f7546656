"""The verbs `export`, `targets`, `converter` and `demo`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edge_lstm_runtime import ConfigError, ConversionError

from .target_table import targets
from .work import Work


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def add_arguments_export(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Turn a trained run into one bundle file: ONNX in two forms, simplified and verified; RKNN by the vendor's converter,\n"
        "streamed on its simulator; golden samples; and an HTML report beside it."
    )
    parser.epilog = (
        "examples:\n"
        "  edge-lstm export runs/har --target rk3588 --scheme fp16 --scheme w8a8 -o har.edge\n"
        "  edge-lstm export runs/har --no-npu -o har.edge"
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder that `edge-lstm train -o RUN` made")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="NAME.edge", help="the bundle to write; the report is NAME.html")
    parser.add_argument(
        "--target", action="append", metavar="NAME", help="an NPU of `edge-lstm targets`; may be repeated (default: rk3588)"
    )
    parser.add_argument(
        "--scheme",
        action="append",
        metavar="NAME",
        help="a number format of the target; may be repeated (default: fp16 and w8a8, where it takes them)",
    )
    parser.add_argument("--no-npu", action="store_true", help="ONNX and NumPy only: don't run the vendor's converter")


def main_export(arguments: argparse.Namespace) -> int:
    from .pipeline import export_run

    if arguments.no_npu and arguments.scheme:
        raise ConfigError("--no-npu and --scheme contradict each other; leave one out")
    schemes = () if arguments.no_npu else tuple(dict.fromkeys(arguments.scheme)) if arguments.scheme else None
    work = export_run(arguments.run, arguments.out, targets=arguments.target or ("rk3588",), schemes=schemes, say=_say)
    print(summary(work))
    return 0


def summary(work: Work) -> str:
    """The closing lines of an export: accuracy of each backend, then where things are."""
    lines = ["", f"{'backend':<28}{'max abs':>10}{'NRMSE':>10}  figures from"]
    for name, a in work.accuracy.items():
        lines.append(f"{name:<28}{a.comparison.max_abs:10.1e}{a.comparison.nrmse:10.1e}  {a.source}")
    for name, metrics in work.metrics.items():
        shown = ("accuracy", "macro_f1") if work.spec.task == "classify" else ("mae", "rmse", "nrmse")
        lines.append(f"{name:<46}" + "  ".join(f"{key} {metrics[key]:.4g}" for key in shown) + " (test)")
    lines += [f"note: {note}" for note in work.notes]
    size = work.out.stat().st_size / 1024
    lines += ["", f"bundle  {work.out} ({size:.0f} kB)", f"report  {work.out.with_suffix('.html')}"]
    lines += [f"next    edge-lstm check {work.out}", f"        edge-lstm run {work.out} --input FILE.csv"]
    return "\n".join(lines)


def add_arguments_targets(parser: argparse.ArgumentParser) -> None:
    parser.description = "List the NPU targets, the number formats that each takes, and which of them this project's tests simulate."


def main_targets(arguments: argparse.Namespace) -> int:  # noqa: ARG001  (every verb has the same signature)
    print(f"{'target':<10}{'cores':>5}  {'schemes':<14}{'tested':<14}boards")
    for t in targets().values():
        print(f"{t.name:<10}{t.cores:>5}  {', '.join(t.schemes):<14}{', '.join(t.verified) or '-':<14}{t.boards}")
    return 0


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
