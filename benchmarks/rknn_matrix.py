"""Every target, scheme and form that the converter knows, at several sizes.

Each is linted, converted, simulated and compared with the reference. Each cell of the table ends as
`ok` (converted, no error line, in tolerance on the simulator), `refused` (by lint, with the rule)
or `BAD`. The figures are those of the converter's simulator, never of a board.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import machine
import numpy as np
from nets import classifier

from edge_lstm_export.graphs.npu import FORMS
from edge_lstm_export.measure.tolerances import wrong
from edge_lstm_export.npu.rknn.conversion import Conversion
from edge_lstm_export.npu.rknn.converter import Converter
from edge_lstm_export.npu.rknn.environment import ENVIRONMENT
from edge_lstm_export.npu.rknn.lint import lint
from edge_lstm_export.npu.rknn.targets import table, targets
from edge_lstm_export.npu.worker.making import interpreter
from edge_lstm_runtime import ConversionError, ModelSpec, Reference, compare
from edge_lstm_runtime.backends.numpy import NumpyBackend
from edge_lstm_runtime.verify.error import FLOAT16

INPUTS = 8
OUTPUTS = 4
SEED = 0
SIXTEEN_BITS = ("fp16", "w16a16i_dfp")


def model(hidden: int, layers: int) -> tuple[ModelSpec, dict[str, np.ndarray]]:
    """A net with weights as large as those that PyTorch starts from."""
    spec = classifier(INPUTS, hidden, layers, OUTPUTS)
    rng = np.random.default_rng(SEED)
    bound = hidden**-0.5
    return spec, {
        name: rng.uniform(-bound, bound, shape).astype(np.float32)
        for name, shape in spec.network.weights.items()
    }


def calibration(
    spec: ModelSpec, weights: dict[str, np.ndarray], samples: int
) -> dict[str, np.ndarray]:
    backend = NumpyBackend(spec, weights)
    found = []
    for row in np.random.default_rng(SEED + 1).normal(size=(samples, INPUTS)).astype(np.float32):
        found.append({"x": row, **backend.state})
        backend.step(row)
    return {name: np.stack([each[name] for each in found]) for name in found[0]}


def cells(
    hidden_sizes: list[int], layer_counts: list[int], only: list[str]
) -> Iterator[tuple[str, str, str, int, int]]:
    for hidden in hidden_sizes:
        for layers in layer_counts:
            for target in only or targets():
                for scheme in table().schemes:
                    for form in FORMS:
                        if form != "packed" or (
                            scheme == "w8a8" and "fp16" in targets()[target].schemes
                        ):
                            yield target, scheme, form, hidden, layers


def measure(cell: tuple[str, str, str, int, int], steps: int) -> dict[str, object]:
    target, scheme, form, hidden, layers = cell
    row: dict[str, object] = {
        "target": target,
        "scheme": scheme,
        "form": form,
        "hidden": hidden,
        "layers": layers,
    }
    spec, weights = model(hidden, layers)
    samples = calibration(spec, weights, 2048 if form == "packed" else 256)
    built = FORMS[form](spec, weights, samples)
    errors = [finding for finding in lint(built.graph, target, scheme) if finding.level == "error"]
    if errors:
        return {**row, "outcome": "refused", "rule": errors[0].rule, "why": errors[0].message}
    rows = np.random.default_rng(SEED + 2).normal(size=(steps, INPUTS)).astype(np.float32)
    try:
        graph = built.graph.SerializeToString()
        conversion = Conversion(spec, graph, built.recipe, target, scheme, samples)
        with Converter(conversion) as converter:
            nrmse = compare(converter.run(rows), Reference(spec, weights).run(rows)).nrmse
            on_cpu = [r["operator"] for r in converter.inner_operators if r["target"] == "CPU"]
            cycles = converter.cycles
            size = len(converter.rknn)
    except ConversionError as e:
        return {**row, "outcome": "BAD", "why": str(e)}
    limit = FLOAT16.limit if scheme in SIXTEEN_BITS else wrong(scheme)
    outcome = "ok" if nrmse <= limit else "BAD"
    return {
        **row,
        "outcome": outcome,
        "nrmse": nrmse,
        "limit": limit,
        "on_cpu": on_cpu,
        "cycles": cycles,
        "bytes": size,
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: rknn_matrix.py --hidden 64 --layers 1 --target rk3588"
    )
    parser.add_argument("--hidden", type=int, nargs="+", default=[16, 64, 128])
    parser.add_argument("--layers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--target", nargs="+", default=[], choices=list(targets()), metavar="NAME")
    parser.add_argument(
        "--steps", type=int, default=300, help="streamed on the simulator (default: %(default)s)"
    )
    parser.add_argument(
        "--jobs", type=int, default=2, help="conversions side by side (default: %(default)s)"
    )
    parser.add_argument("--json", type=Path, help="also write every cell to this file")
    arguments = parser.parse_args()
    interpreter(ENVIRONMENT, lambda line: print(line, file=sys.stderr))
    todo = list(cells(arguments.hidden, arguments.layers, arguments.target))
    rows = []
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for row in pool.map(lambda cell: measure(cell, arguments.steps), todo):
            rows.append(row)
            if row["outcome"] != "refused":
                print(f"{len(rows)}/{len(todo)} {json.dumps(row)}", file=sys.stderr, flush=True)
            if arguments.json:
                arguments.json.write_text("\n".join(map(json.dumps, rows)) + "\n")
    print(machine.describe("numpy", "onnx"))
    print(
        f"{arguments.steps} steps on the simulator of rknn-toolkit2, not a board; "
        "NRMSE from least to most over hidden and layers\n"
    )
    print(
        "| target | scheme | form | outcome | NRMSE | operators on the CPU |\n"
        "| --- | --- | --- | --- | --- | --- |"
    )
    for key in dict.fromkeys((r["target"], r["scheme"], r["form"]) for r in rows):
        mine = [r for r in rows if (r["target"], r["scheme"], r["form"]) == key]
        outcome = ", ".join(
            f"{n} {what}" for what, n in Counter(r["outcome"] for r in mine).items()
        )
        rules = sorted({str(r["rule"]) for r in mine if "rule" in r})
        errors = [float(str(r["nrmse"])) for r in mine if "nrmse" in r]
        span = f"{min(errors):.1e} to {max(errors):.1e}" if errors else ""
        on_cpu = sorted({o for r in mine for o in cast(list[str], r.get("on_cpu", []))})
        print(
            f"| {' | '.join(key)} | {outcome}{': ' + ', '.join(rules) if rules else ''} "
            f"| {span} | {', '.join(on_cpu)} |"
        )
    print(
        "\n" + ", ".join(f"{n} {what}" for what, n in Counter(r["outcome"] for r in rows).items())
    )
    return int(any(row["outcome"] == "BAD" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
