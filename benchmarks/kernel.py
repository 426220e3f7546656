"""The native kernel inside C against the best that this machine can do.

And int8 against float32, GRU against LSTM, and 64 streams in one call, on one thread and on two,
against 64 calls from Python.

The limit is measured in the same run. It is the time to read the model's bytes from the cache that
holds them, or to do its multiply-accumulates in float32 if that takes longer. For int8 only the
reading counts, because its arithmetic is cheaper than that.

Then the precisions in turns, each beside float32.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import machine
import numpy as np
import peers

import hatch_build
from edge_lstm_runtime import Reference, native
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.backends.parallel import parallel

HERE = Path(__file__).parent
SIZES = (16, 32, 64, 128, 256)
STREAMS = 64
WIDTH = 128
THREADS = 2
GRU_SIZES = (64, 128)
GRU_LIMIT = 1.1
# A precision and a size -> how many times as fast as float32 it should be.
RATIOS: dict[tuple[object, object], float] = {
    ("float16", 128): 1.7,
    ("float16", 256): 1.7,
    ("int8", 16): 1.3,
    ("int8", 32): 1.3,
}
ALL_CORES = os.sched_getaffinity(0)


def inside_c(*arguments: object) -> list[dict[str, object]]:
    """The rows that kernel.c prints, built here against the kernel as the backend has it."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise SystemExit(
            "kernel.py: no C compiler (cc) was found, which builds kernel.c; install gcc"
        )
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "kernel"
        library = Path(folder) / "libedge_lstm.so"
        hatch_build.compile_here(library, python=False)
        options = ["-std=gnu99", "-O3", "-march=native", "-ffp-contract=fast"]
        command = [
            compiler,
            *options,
            f"-I{hatch_build.NATIVE}",
            str(HERE / "kernel.c"),
            str(library),
            f"-Wl,-rpath,{folder}",
            "-o",
            str(program),
        ]
        subprocess.run(command, check=True)
        done = subprocess.run(
            [program, *map(str, arguments)], capture_output=True, text=True, check=True
        )
    return [json.loads(line) for line in done.stdout.splitlines()]


def streams(precision: str, repeats: int) -> dict[str, float]:
    """Microseconds for a step of all STREAMS streams.

    In one call, in as many calls of as many backends with one stream each, in as many calls of one
    backend (its weights stay in the cache, its answers are not those), and divided over THREADS.
    """
    spec, weights = peers.network(WIDTH, 1, 8)
    x = np.random.default_rng(1).standard_normal((STREAMS, 8)).astype(np.float32)

    def opened(count: int) -> NativeBackend:
        return NativeBackend(spec, weights, precision, streams=count)

    together = opened(STREAMS)
    divided = parallel(opened, STREAMS, THREADS)
    alone = [NativeBackend(spec, weights, precision) for _ in range(STREAMS)]
    expected = np.stack([Reference(spec, weights).step(row) for row in x])
    limit = {"float32": 1e-5, "float16": 5e-3, "int8": 0.05}[precision]
    assert np.abs(together.step(x) - expected).max() < limit
    together.reset()
    assert np.array_equal(divided.step(x), together.step(x))
    rows = list(x)

    def calls() -> None:
        for backend, row in zip(alone, rows, strict=True):
            backend.step(row)

    def calls_of_one() -> None:
        for row in rows:
            alone[0].step(row)

    times = machine.interleaved(
        {
            "one": lambda: together.step(x),
            "many": calls,
            "shared": calls_of_one,
            "divided": lambda: divided.step(x),
        },
        repeats=repeats,
        number=50,
    )
    divided.close()
    return {name: 1e6 * min(turns) for name, turns in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python benchmarks/kernel.py --repeats 21"
    )
    parser.add_argument(
        "--repeats", type=int, default=41, help="turns of the streams (default: %(default)s)"
    )
    parser.add_argument("--core", type=int, help="the core to run on (default: the last one)")
    arguments = parser.parse_args()
    core = machine.pin(arguments.core)
    print(f"{machine.describe('numpy')}; core {core}\n")
    print(
        "inside C, 8 inputs, 4 outputs, nanoseconds a step, the least of 400 turns; "
        "share = limit / step"
    )
    print(
        f"{'':>8} {'kernel':<13}{'hidden':>7}{'step':>9}{'read':>9}{'MACs':>9}"
        f"{'share':>7}{'bytes':>10}"
    )
    for row in inside_c(*SIZES):
        step, read, mac = (float(str(row[name])) for name in ("step_ns", "read_ns", "mac_ns"))
        is_float = row["precision"] == "float32"
        share = (read if row["precision"] == "int8" else max(read, mac)) / step
        judged = is_float and row["kernel"] == native.kernels()[0] and row["hidden"] in (128, 256)
        figures = f"{row['hidden']:>7}{step:>9.0f}{read:>9.0f}{mac:>9.0f}{share:>7.2f}"
        note = verdict(share, 0.6) if judged else ""
        print(f"{row['precision']:>8} {row['kernel']:<13}{figures}{row['model_bytes']:>10}{note}")
    precisions_in_turns()
    gru_beside_lstm()
    streams_together(arguments.repeats)


def streams_together(repeats: int) -> None:
    """With all cores: the threads need one each."""
    os.sched_setaffinity(0, ALL_CORES)
    print(
        f"\n{STREAMS} streams, hidden {WIDTH}, from Python, microseconds for a step of all; "
        f"{len(ALL_CORES)} cores, load {os.getloadavg()[0]:.1f}"
    )
    for precision in native.PRECISIONS:
        found = streams(precision, repeats)
        many = found["many"]
        print(
            f"{precision:>8}  {STREAMS} calls {many:8.1f}, of one backend {found['shared']:8.1f}\n"
            f"          one call {found['one']:8.1f}   {many / found['one']:.2f} times"
            f"{verdict(many / found['one'], 6)}\n"
            f"          {THREADS} threads {found['divided']:7.1f}   "
            f"{many / found['divided']:.2f} times{verdict(many / found['divided'], 10)}"
        )


def precisions_in_turns() -> None:
    print("\nfloat16 and int8 beside float32, in turns")
    print("ratio: the median of float32's time over the precision's")
    print(f"{'':>8} {'kernel':<13}{'hidden':>7}{'step, ns':>10}{'ratio':>7}{'bytes':>10}")
    for row in inside_c("ratios", *SIZES):
        ratio = float(str(row["ratio"]))
        named = row["precision"], row["hidden"]
        judged = row["kernel"] == native.kernels()[0] and named in RATIOS
        told = verdict(ratio, RATIOS[named]) if judged else ""
        figures = f"{row['hidden']:>7}{row['step_ns']:>10}{ratio:>7.2f}{row['model_bytes']:>10}"
        print(f"{row['precision']:>8} {row['kernel']:<13}{figures}{told}")


def gru_beside_lstm() -> None:
    print("\nGRU beside LSTM, in turns, nanoseconds a step")
    print("ratio: the median of GRU / LSTM for each multiply-accumulate")
    for row in inside_c("gru", *GRU_SIZES):
        name = "reset after the product" if row["option"] else "reset before it"
        judged = row["option"] and row["kernel"] == native.kernels()[0]
        figures = f"LSTM {row['lstm_ns']:>8}  GRU {row['gru_ns']:>8}  ratio {row['ratio']:.3f}"
        told = verdict(float(str(row["ratio"])), most=GRU_LIMIT) if judged else ""
        start = f"{row['precision']:>8} {row['kernel']:<13}{row['hidden']:>5}  {name:<24}"
        print(f"{start}{figures}{told}")


def verdict(figure: float, least: float = -math.inf, most: float = math.inf) -> str:
    target = f">= {least:g}" if least > -math.inf else f"<= {most:g}"
    return f"   target {target}: {'met' if least <= figure <= most else 'MISSED'}"


if __name__ == "__main__":
    main()
