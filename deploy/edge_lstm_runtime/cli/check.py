"""Compare a backend with the reference on this machine."""

from __future__ import annotations

import argparse
import itertools
import sys
from typing import TYPE_CHECKING, Any

from ..errors import BackendError, BackendUnavailableError
from ..feeds.lines import recordings
from ..shown import in_a_line
from ..verify.check import NOT_USABLE, Check, check_backend, verdict_of
from ..verify.golden import answered
from ._shared import add_bundle, json_line, load_asked, members, own_stdout, text_blocks

if TYPE_CHECKING:
    from ..model.bundle import Bundle
    from ..model.spec import ModelSpec
    from ..verify.golden import Samples


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Run the bundle's golden samples (test data) through a backend on this machine.\n"
        "Compare the answers with those of the float64 reference in the bundle. The exit code is\n"
        "1 if a backend is out of tolerance.\n"
        "With --input, run your own samples instead. The reference answers them here. The limit\n"
        "is the same, that of the export's test split. So data of another kind may be beyond it."
    )
    parser.epilog = (
        "examples:\n"
        "  edge-lstm check har.edge\n"
        "  edge-lstm check har.edge --backend rknn --artifact rk3588-fp16.rknn\n"
        "  edge-lstm check har.edge --backend native-int8 --input recording.csv"
    )
    add_bundle(parser, backend="all")
    parser.add_argument(
        "--input",
        metavar="FILE|-",
        help="samples in place of the golden ones: CSV or JSON lines as for `edge-lstm run`, a "
        'line {"reset": true} between recordings',
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object for each backend"
    )


def main(arguments: argparse.Namespace) -> int:

    bundle = load_asked(arguments).bundle
    samples = None if arguments.input is None else _own_samples(bundle, arguments.input)
    everything = arguments.backend in ("all", "auto")
    failed = ran = 0
    with own_stdout() as out:
        for name, artifact in members(bundle, arguments.backend, arguments.artifact):
            label = in_a_line(name if artifact is None else f"{name} {artifact}")
            try:
                result: Check | BackendError = check_backend(
                    bundle, name, artifact, samples=samples
                )
            except BackendError as e:  # the other backends are still worth checking
                if not everything:
                    raise
                if isinstance(e, BackendUnavailableError):
                    print(f"{label:<34} not here: {e}", file=sys.stderr)
                    continue
                result = e
            ran += 1
            failed += isinstance(result, BackendError) or not result.passed
            if arguments.json:
                out.write(json_line({"backend": name, "artifact": artifact, **_facts(result)}))
            else:
                verdict = verdict_of(bundle, name, artifact)
                out.write(f"{label:<34} {_sentence(result, bundle.spec, verdict)}\n")
            out.flush()
    return 1 if failed or not ran else 0


def _own_samples(bundle: Bundle, name: str) -> Samples:
    inputs = bundle.spec.inputs
    with text_blocks(name, inputs.text) as blocks:
        skipped = 0 if name == "-" else inputs.text.skip_rows
        return answered(bundle, recordings(inputs, itertools.chain.from_iterable(blocks), skipped))


def _facts(result: Check | BackendError) -> dict[str, Any]:
    if isinstance(result, BackendError):
        return {"passed": False, "error": str(result)}
    limit = {result.tolerance.metric: result.tolerance.limit}
    return {"passed": result.passed, **result.comparison.to_dict(), "limit": limit}


def _sentence(result: Check | BackendError, spec: ModelSpec, verdict: str) -> str:
    if isinstance(result, BackendError):
        return f"BAD  failed: {result}"
    c = result.comparison
    t = result.tolerance
    place = (
        ""
        if result.passed
        else f"; worst at step {c.worst[0]}, output {spec.answer.names[c.worst[1]]!r}"
    )
    if verdict == NOT_USABLE:
        place += f"; on the test split the export found it {verdict}"
    return (
        f"{'ok ' if result.passed else 'BAD'}  max abs {c.max_abs:.2e}"
        f"  NRMSE {c.nrmse:.2e}  over {c.steps} steps"
        f"  (limit: {t.metric} {t.limit:.1e}){place}"
    )
