"""One streamed step called from Python: the native backend against every peer.

They run side by side on one pinned core, with one thread each.
"""

from __future__ import annotations

import argparse
import functools
import json
import logging
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import machine
import numpy as np
import peers

from edge_lstm_runtime import Reference
from edge_lstm_runtime.errors import BackendUnavailableError
from edge_lstm_runtime.verify.error import FLOAT32, Comparison, compare

CHECKED = 100  # carried steps
PACKAGES = ("numpy", "onnxruntime", "ai-edge-litert", "ncnn", "openvino", "torch")
OURS = ("native", "native int8")
LEADS = {16: 12.0, 32: 9.0, 64: 4.5, 128: 2.0, 256: 1.45}  # the fastest peer / native
Row = dict[str, Any]


def measure(
    hidden: int, arguments: argparse.Namespace, left_out: dict[str, str]
) -> tuple[list[Row], dict[str, float]]:
    """A row for each way of each peer, and the ratio peer / native of the fastest ways.

    left_out: takes the peers that are missing or wrong, and why.
    """
    spec, weights = peers.network(hidden, 1, arguments.inputs)
    features = (
        np.random.default_rng(1).standard_normal((CHECKED, arguments.inputs)).astype(np.float32)
    )
    expected = Reference(spec, weights).run(features)
    calls = {}
    checks = {}
    for name in arguments.peers:
        try:
            steps = peers.make(name, spec, weights)
        except (ImportError, BackendUnavailableError) as e:
            left_out[name] = f"missing: {e}"
            continue
        for way, step in steps.items():
            got = compare(np.stack([step(x).copy() for x in features]), expected)
            if "int8" not in name and not got.within(FLOAT32):
                left_out[f"{name}, {way}, hidden {hidden}"] = (
                    f"WRONG: max abs {got.max_abs:.1e} over {CHECKED} steps"
                )
                continue
            calls[f"{name}: {way}"] = functools.partial(step, features[0])
            checks[f"{name}: {way}"] = got
    times = machine.interleaved(calls, repeats=arguments.repeats, number=arguments.steps)
    rows = [_row(hidden, key, times[key], checks[key]) for key in times]
    best = {  # the last one stays
        row["peer"]: f"{row['peer']}: {row['way']}"
        for row in sorted(rows, key=lambda row: -row["median_us"])
    }
    for row in rows:
        row["fastest"] = best[row["peer"]] == f"{row['peer']}: {row['way']}"
    return rows, {
        name: machine.ratio(times, key, best["native"])
        for name, key in best.items()
        if "native" in best
    }


def _row(hidden: int, key: str, seconds: list[float], check: Comparison) -> Row:
    name, way = key.split(": ")
    figures = {"median_us": 1e6 * statistics.median(seconds), "min_us": 1e6 * min(seconds)}
    return {
        "hidden": hidden,
        "peer": name,
        "way": way,
        **figures,
        "max_abs": check.max_abs,
        "nrmse": check.nrmse,
    }


def targets(ratios: Mapping[int, Mapping[str, float]]) -> list[tuple[str, float | None, float]]:
    """Each target: its name, the figure, and the least that it has to be.

    The figure is None if it was not measured. ratios: by hidden size, peer / native.
    """

    def fastest(size: int) -> tuple[str, float | None]:
        found = [(r, name) for name, r in ratios.get(size, {}).items() if name not in OURS]
        lead, name = min(found, default=(None, "?"))  # without native, or without a peer
        return f"{name} at hidden {size}", lead

    int8 = ratios.get(256, {}).get("native int8")
    leads = [(*fastest(size), least) for size, least in LEADS.items()]
    return [
        *((f"native against its fastest peer ({who})", lead, least) for who, lead, least in leads),
        ("native int8 against native at hidden 256", 1 / int8 if int8 else None, 2.0),
    ]


def table(
    title: str, sizes: list[int], cells: Mapping[str, Mapping[int, float]], notes: Mapping[str, str]
) -> None:
    print(f"\n{title}\n{'hidden':<17}" + "".join(f"{size:>8}" for size in sizes))
    for name, values in cells.items():
        print(
            f"{name:<17}"
            + "".join(f"{values[s]:>8.2f}" if s in values else f"{'-':>8}" for s in sizes)
            + f"   {notes.get(name, '')}"
        )


def main() -> None:
    def names(text: str) -> list[str]:
        unknown = [name for name in text.split(",") if name not in peers.PEERS]
        if unknown:
            raise argparse.ArgumentTypeError(
                f"unknown peer {unknown[0]!r}; known: {', '.join(peers.PEERS)}"
            )
        return text.split(",")

    def sizes(text: str) -> list[int]:
        return [int(size) for size in text.split(",")]

    example = "python benchmarks/step_latency.py --hidden 16,64 --peers native,litert"
    parser = argparse.ArgumentParser(description=__doc__, epilog=f"example: {example}")
    parser.add_argument(
        "--hidden",
        type=sizes,
        default=[16, 32, 64, 128, 256],
        help="sizes (default: 16,32,64,128,256)",
    )
    parser.add_argument("--inputs", type=int, default=8, help="channels (default: %(default)s)")
    parser.add_argument(
        "--repeats",
        type=int,
        default=31,
        help="interleaved repeats, of which the median counts (default: %(default)s)",
    )
    parser.add_argument(
        "--steps", type=int, default=1000, help="steps per repeat (default: %(default)s)"
    )
    parser.add_argument(
        "--peers",
        type=names,
        default=list(peers.PEERS),
        help=f"of {','.join(peers.PEERS)} (default: all)",
    )
    parser.add_argument("--core", type=int, help="the core to run on (default: the last one)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    core = machine.pin(arguments.core)
    logging.getLogger().setLevel(logging.ERROR)  # ONNX Runtime's quantizer advises at each call
    about = machine.describe(*PACKAGES)
    print(
        f"{about}\none step, batch 1, {arguments.inputs} inputs, 4 outputs, 1 layer, "
        f"the state carried; core {core}, one thread"
    )

    rows: list[Row] = []
    ratios: dict[int, dict[str, float]] = {}
    left_out: dict[str, str] = {}
    for hidden in arguments.hidden:
        new, ratios[hidden] = measure(hidden, arguments, left_out)
        rows += new
    best = [row for row in rows if row["fastest"]]
    order = [name for name in arguments.peers if any(row["peer"] == name for row in best)]
    ways = {
        name: "; ".join(dict.fromkeys(row["way"] for row in best if row["peer"] == name))
        for name in order
    }
    medians = {
        name: {row["hidden"]: row["median_us"] for row in best if row["peer"] == name}
        for name in order
    }
    minima = {
        name: {row["hidden"]: row["min_us"] for row in best if row["peer"] == name}
        for name in order
    }
    title = (
        f"microseconds per step, medians of {arguments.repeats} x {arguments.steps} steps; "
        "of each peer its fastest way"
    )
    table(title, arguments.hidden, medians, ways)
    table("minima", arguments.hidden, minima, {})
    if "native" in order:
        table(
            "peer / native",
            arguments.hidden,
            {name: {s: ratios[s][name] for s in ratios if name in ratios[s]} for name in order},
            {},
        )
    int8 = {
        name: {row["hidden"]: 1e3 * row["nrmse"] for row in best if row["peer"] == name}
        for name in order
        if "int8" in name
    }
    if int8:
        table(
            f"int8: 1000 x NRMSE against the float64 reference over {CHECKED} steps",
            arguments.hidden,
            int8,
            {},
        )
    worst = max((row["max_abs"] for row in rows if "int8" not in row["peer"]), default=0)
    print(f"\nall others: max abs {worst:.1e} over {CHECKED} steps")
    for name, why in left_out.items():
        print(f"{name}: {why}")
    absent = [name for name in peers.PEERS if name not in order]
    print(f"\ntargets{', without ' + ', '.join(absent) if absent else ''}:")
    outcome = []
    for what, figure, least in targets(ratios):
        verdict = (
            "not measured"
            if figure is None
            else f"{figure:.2f}, {'met' if figure >= least else 'MISSED'}"
        )
        outcome.append({"target": what, "least": least, "figure": figure})
        print(f"{what} >= {least}: {verdict}")
    if arguments.json:
        figures = {
            "machine": about,
            "core": core,
            "inputs": arguments.inputs,
            "repeats": arguments.repeats,
            "steps": arguments.steps,
        }
        figures |= {
            "rows": rows,
            "ratios": ratios,
            "left_out": left_out,
            "absent": absent,
            "targets": outcome,
        }
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
