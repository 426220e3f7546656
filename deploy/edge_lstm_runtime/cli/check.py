"""Compare a backend with the reference on this machine."""

from __future__ import annotations

import argparse
import json
import sys

from ..errors import BackendError, BackendUnavailableError
from ..load import load
from ..verify.check import check_backend
from ._shared import add_bundle, members


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Run the bundle's golden samples (real test data) through a backend on this machine.\n"
        "Compare the answers with those of the float64 reference in the bundle. The exit code is\n"
        "1 if a backend is out of tolerance."
    )
    parser.epilog = (
        "examples:\n"
        "  edge-lstm check har.edge\n"
        "  edge-lstm check har.edge --backend rknn --artifact rk3588-fp16.rknn"
    )
    add_bundle(parser, backend="all")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object for each backend"
    )


def main(arguments: argparse.Namespace) -> int:

    bundle = load(arguments.bundle).bundle
    everything = arguments.backend in ("all", "auto")
    failed = ran = 0
    for name, artifact in members(bundle, arguments.backend, arguments.artifact):
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
            ran += 1
            failed += 1
            if arguments.json:
                said = {"backend": name, "artifact": artifact, "passed": False, "error": str(e)}
                print(json.dumps(said))
            else:
                print(f"{label:<34} BAD  failed: {e}")
            continue
        ran += 1
        failed += not result.passed
        c = result.comparison
        t = result.tolerance
        if arguments.json:
            facts = {"backend": name, "artifact": artifact, "passed": result.passed}
            print(json.dumps({**facts, **c.to_dict(), "limit": {t.metric: t.limit}}))
            continue
        place = (
            ""
            if result.passed
            else f"; worst at step {c.worst[0]}, output {bundle.spec.answer.names[c.worst[1]]!r}"
        )
        print(
            f"{label:<34} {'ok ' if result.passed else 'BAD'}  max abs {c.max_abs:.2e}"
            f"  NRMSE {c.nrmse:.2e}  over {c.steps} steps"
            f"  (limit: {t.metric} {t.limit:.1e}){place}"
        )
    return 1 if failed or not ran else 0
