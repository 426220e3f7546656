"""The command `edge-lstm`. Each verb parses, calls the library and prints; the desktop verbs live in the other two packages."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib
import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from . import __version__
from .errors import EdgeLstmError, MissingDependencyError

if TYPE_CHECKING:
    from .bundle import Bundle


class Verb(NamedTuple):
    module: str  # holds add_arguments_VERB(parser) and main_VERB(arguments) -> exit code
    extra: str | None
    summary: str


_HERE = "edge_lstm_runtime.cli"
VERBS = {
    "train": Verb("edge_lstm.cli", "train", "train a compact LSTM from a TOML configuration"),
    "recipes": Verb("edge_lstm.cli", "train", "list the packaged configurations and the data they need"),
    "compare": Verb("edge_lstm.cli", "train", "train or fit baselines on the same data: GRU, RNN, ARIMA, DTW and more, in one table"),
    "export": Verb("edge_lstm_export.cli", "export", "turn a trained run into a bundle: ONNX, RKNN, report"),
    "inspect": Verb("edge_lstm_export.cli", "export", "look inside a trained model: gates, memory, channels, gradients"),
    "lint": Verb("edge_lstm_export.cli", "export", "check a graph for what the vendor's converter can't take"),
    "demo": Verb("edge_lstm_export.cli", "desktop", "the whole line on real data: train, export, check, report"),
    "targets": Verb("edge_lstm_export.cli", "export", "list the NPU targets and the number formats they take"),
    "converter": Verb("edge_lstm_export.cli", "export", "show, make or remove the environment of the vendor's converter"),
    "run": Verb("edge_lstm_runtime.stream_cli", None, "stream samples through a bundle: CSV or JSON lines in, JSON lines out"),
    "generate": Verb("edge_lstm_runtime.stream_cli", None, "go on with a text, character by character, with a language model"),
    "check": Verb(_HERE, None, "compare a backend with the reference on this machine"),
    "bench": Verb(_HERE, None, "measure each backend on this machine: latency, throughput, memory, load time"),
    "info": Verb(_HERE, None, "show what is in a bundle"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code: 0 done, 1 done with a finding (out of tolerance, bad samples), 2 an error."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        try:
            if not arguments or arguments[0] not in VERBS:
                return _top_level(arguments)
            return _run_verb(arguments[0], arguments[1:])
        finally:
            sys.stdout.flush()  # while a reader that has gone is still caught below
    except EdgeLstmError as e:
        print(f"edge-lstm: error: {e}", file=sys.stderr)
        return e.exit_code
    except BrokenPipeError:  # the reader of our output has gone, as with `| head`
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except KeyboardInterrupt:
        print("edge-lstm: stopped", file=sys.stderr)
        return 130


def _top_level(arguments: list[str]) -> int:
    verbs = "\n".join(f"  {name:<11}{verb.summary}" for name, verb in VERBS.items())
    parser = argparse.ArgumentParser(
        "edge-lstm",
        description="From sensor data to a verified compact LSTM on an embedded board.",
        epilog=f"verbs:\n{verbs}\n\n`edge-lstm VERB --help` explains one. Start with: edge-lstm demo",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"edge-lstm {__version__}")
    parser.add_argument("verb", choices=VERBS, metavar="VERB", help="what to do")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="its arguments")
    if not arguments:
        parser.print_help()
        return 2
    parser.parse_args(arguments)
    return 2


def _run_verb(name: str, arguments: list[str]) -> int:
    verb = VERBS[name]
    try:
        module: Any = importlib.import_module(verb.module)
        parser = argparse.ArgumentParser(f"edge-lstm {name}", formatter_class=argparse.RawDescriptionHelpFormatter)
        getattr(module, f"add_arguments_{name}")(parser)
        result: int = getattr(module, f"main_{name}")(parser.parse_args(arguments))
    except ModuleNotFoundError as e:
        if verb.extra is None or (e.name or "").split(".")[0] in {"edge_lstm", "edge_lstm_export", "edge_lstm_runtime"}:
            raise
        raise MissingDependencyError(f"{e.name}, which `edge-lstm {name}` needs,", verb.extra) from e
    except MissingDependencyError as e:  # from below the verb's module: the verb's own extra holds that package and what else it needs
        if verb.extra is None:
            raise
        raise MissingDependencyError(f"{e.package}, which `edge-lstm {name}` needs,", verb.extra) from e
    return result


# --- the verbs of the runtime that don't stream; those that do stand in stream_cli ---


def add_bundle(parser: argparse.ArgumentParser, backend: str | None = "auto") -> None:
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the file that `edge-lstm export` made, NAME.edge")
    if backend is not None:
        parser.add_argument(
            "--backend",
            default=backend,
            metavar="NAME",
            help=("all of them, " if backend == "all" else "auto (the fastest that is right here), ")
            + "numpy, native, native-int8, onnx, rknn, rknn-sim or reference (default: %(default)s)",
        )
        parser.add_argument(
            "--artifact", metavar="MEMBER", help="the converted model to run, such as rk3588-fp16.rknn, if there are several"
        )


@contextlib.contextmanager
def own_stdout() -> Iterator[io.TextIOBase]:
    """Standard output for the answers alone: what a vendor's library prints to it goes to standard error meanwhile."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):  # replaced by something that is no file, as when called from Python
        yield sys.stdout  # type: ignore[misc]
        return
    sys.stdout.flush()
    saved = os.dup(descriptor)
    os.dup2(2, descriptor)
    try:
        with open(saved, "w", encoding="utf-8", closefd=False) as out:
            yield out
    finally:
        # What still waits in the buffers of Python and of the C library would come out behind the answers.
        sys.stdout.flush()
        with contextlib.suppress(Exception):
            import ctypes

            ctypes.CDLL(None).fflush(None)
        os.dup2(saved, descriptor)
        os.close(saved)


def _members(bundle: Bundle, backend: str, artifact: str | None) -> Iterator[tuple[str, str | None]]:
    """What a backend's name means: each converted model that it can run, unless one is named; of "all" and "auto" every backend's."""
    from .backends import names
    from .check import artifacts

    for name in [n for n in names() if n != "reference"] if backend in ("all", "auto") else [backend]:
        for member in artifacts(bundle, name, artifact) or [None]:
            yield name, member


def add_arguments_check(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Run the bundle's golden samples (real test data) through a backend on this machine and compare with the\n"
        "float64 reference's answers that the bundle carries. Exit code 1 when one is out of tolerance."
    )
    parser.epilog = "examples:\n  edge-lstm check har.edge\n  edge-lstm check har.edge --backend rknn --artifact rk3588-fp16.rknn"
    add_bundle(parser, backend="all")
    parser.add_argument("--json", action="store_true", help="print one JSON object for each backend")


def main_check(arguments: argparse.Namespace) -> int:
    from .check import check_backend
    from .errors import BackendError, BackendUnavailableError
    from .model import load

    bundle = load(arguments.bundle).bundle
    everything = arguments.backend in ("all", "auto")
    failed = ran = 0
    for name, artifact in _members(bundle, arguments.backend, arguments.artifact):
        label = name if artifact is None else f"{name} {artifact}"
        try:
            result = check_backend(bundle, name, artifact)
        except BackendUnavailableError as e:
            if not everything:
                raise
            print(f"{label:<34} not here: {e}", file=sys.stderr)
            continue
        except BackendError as e:  # the other backends are still worth checking
            if not everything:
                raise
            ran, failed = ran + 1, failed + 1
            if arguments.json:
                print(json.dumps({"backend": name, "artifact": artifact, "passed": False, "error": str(e)}))
            else:
                print(f"{label:<34} BAD  failed: {e}")
            continue
        ran += 1
        failed += not result.passed
        c, t = result.comparison, result.tolerance
        if arguments.json:
            print(json.dumps({"backend": name, "artifact": artifact, "passed": result.passed, **c.to_dict(), "limit": {t.metric: t.limit}}))
            continue
        place = "" if result.passed else f"; worst at step {c.worst[0]}, output {bundle.spec.output_names[c.worst[1]]!r}"
        print(
            f"{label:<34} {'ok ' if result.passed else 'BAD'}  max abs {c.max_abs:.2e}  NRMSE {c.nrmse:.2e}  over {c.steps} steps"
            f"  (limit: {t.metric} {t.limit:.1e}){place}"
        )
    return 1 if failed or not ran else 0


def add_arguments_bench(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Measure each backend on this machine, called from Python: how long a step takes, raw sample to answer; steps a second for whole\n"
        "recordings and for several streams together; memory and load time. Each in a process of its own, one after the other.\n"
        "With all backends, what `auto` remembers for this bundle and machine is found anew.\n"
        "Figures of `rknn-sim` are those of a simulator and say nothing about a board."
    )
    parser.epilog = "examples:\n  edge-lstm bench har.edge\n  edge-lstm bench har.edge --backend numpy --steps 10000 --streams 64 --json"
    add_bundle(parser, backend="all")
    parser.add_argument("--steps", type=int, default=10000, metavar="N", help="single steps to time (default: %(default)s)")
    parser.add_argument("--streams", type=int, default=16, metavar="N", help="streams to answer together (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object for each backend")


def main_bench(arguments: argparse.Namespace) -> int:
    from .bench import LEGEND, head, measure, row
    from .choice import choose_backend
    from .errors import BackendError, BackendUnavailableError, ConfigError
    from .model import load

    for option in ("steps", "streams"):
        if getattr(arguments, option) < 1:
            raise ConfigError(f"--{option} is {getattr(arguments, option)}; expected at least 1")
    bundle = load(arguments.bundle).bundle
    wanted, member, everything = arguments.backend, arguments.artifact, arguments.backend == "all"
    measured = failed = 0
    with own_stdout() as out:
        if wanted == "auto":
            choice = choose_backend(bundle, artifact=member)
            choice.backend.close()
            print("\n".join(choice.reasons), file=sys.stderr)
            wanted, member = choice.name, choice.artifact
        for name, artifact in _members(bundle, wanted, member):
            label = f"{name} {artifact or ''}".rstrip()
            print(f"edge-lstm: measuring {label}", file=sys.stderr)
            try:
                figures = measure(arguments.bundle, name, artifact, arguments.steps, arguments.streams)
            except BackendError as e:
                if not everything:
                    raise
                unavailable = isinstance(e, BackendUnavailableError)
                failed += not unavailable
                print(f"{label:<34} {'not here' if unavailable else 'failed'}: {e}", file=sys.stderr)
                continue
            if arguments.json:
                out.write(json.dumps(dataclasses.asdict(figures)) + "\n")
            else:
                out.write(("" if measured else head(arguments.streams)) + row(figures))
            out.flush()
            measured += 1
        if measured and not arguments.json:
            out.write(LEGEND)
        if everything:
            for streams in (None,) if bundle.spec.bidirectional else (None, arguments.streams):
                choice = choose_backend(bundle, artifact=arguments.artifact, streams=streams, recall=False)
                choice.backend.close()
                purpose = f" for {streams} streams" if streams else ""
                print(f"edge-lstm: auto takes {' '.join(filter(None, (choice.name, choice.artifact)))}{purpose}", file=sys.stderr)
    return 1 if failed or not measured else 0


def add_arguments_info(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Show what is in a bundle: the model, its channels, its members, and the accuracy that was measured at export;\n"
        "and the native kernels that this machine runs."
    )
    parser.epilog = "example:\n  edge-lstm info har.edge"
    add_bundle(parser, backend=None)
    parser.add_argument("--json", action="store_true", help="print the manifest as it is")


def main_info(arguments: argparse.Namespace) -> int:
    from . import native
    from .errors import BackendUnavailableError
    from .model import load

    bundle = load(arguments.bundle).bundle
    if arguments.json:
        print(json.dumps(bundle.manifest, indent=1, sort_keys=True))
        return 0
    spec = bundle.spec
    outputs = repr("".join(spec.classes)) if spec.task == "language" else ", ".join(spec.output_names)
    print(f"task      {spec.task}: {outputs}")
    if spec.anomaly_scale:
        print(f"anomaly   a score above {spec.anomaly_threshold:.4g}")
    print(f"channels  {', '.join(spec.channels)} (raw units; missing values: {spec.missing})")
    if (sound := spec.front_end) is not None:
        print(
            f"sound     {sound.sample_rate} Hz mono, {sound.kind} of frames of {sound.frame_length} samples, {sound.hop_length} apart: "
            f"{sound.frame_rate:g} a second"
        )
    if spec.dt:
        print(f"time      {spec.dt} is the seconds since the sample before; `run` takes them, or works them out from {spec.time!r}")
    both = ", bidirectional (whole sequences only)" if spec.bidirectional else ""
    print(
        f"model     {spec.num_layers} layer(s) of {spec.hidden_size}{both}, {spec.parameters} parameters, {spec.macs_per_step} MACs a step"
    )
    try:
        print(f"native    {', '.join(native.kernels())} (the kernels that this machine runs, the fastest first)")
    except BackendUnavailableError as e:
        print(f"native    not here: {e}")
    print("members")
    for name, entry in sorted(bundle.manifest["members"].items()):
        print(f"  {name:<24}{entry['bytes']:>10} bytes  sha256 {entry['sha256'][:12]}")
    if bundle.manifest.get("accuracy"):
        print("accuracy, measured at export against the float64 reference")
        for name, entry in sorted(bundle.manifest["accuracy"].items()):
            print(f"  {name:<34}max abs {entry['max_abs']:.2e}  NRMSE {entry['nrmse']:.2e}  over {entry['steps']} steps")
    for name, reason in bundle.left_out.items():
        print(f"left out  {name}: {reason}")
    if bundle.manifest.get("versions"):
        print("made with")
    for name, value in sorted(bundle.manifest.get("versions", {}).items()):
        print(f"  {name:<24}{value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
