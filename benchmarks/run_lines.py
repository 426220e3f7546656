"""`edge-lstm run` over text: lines a second, and the time from a line to its answer.

The same lines go through the command as a file and through pipes, and line by line through
`feeds.lines` in this process, which is how each line was answered before lines were taken together.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import machine
import numpy as np
import peers
from numpy.typing import NDArray

from edge_lstm_runtime import Reference, Session, load, write_bundle
from edge_lstm_runtime.feeds.lines import answers
from edge_lstm_runtime.model.npz import write_npz

Array = NDArray[np.float64]
# What the pipes and the machine take by themselves.
ECHO = "import os\nwhile data := os.read(0, 65536): os.write(1, data)"


def made(folder: Path, hidden: int, channels: int, count: int) -> tuple[Path, Path]:
    """A bundle with random weights, and a CSV of so many lines below a header."""
    spec, weights = peers.network(hidden, 1, channels)
    samples = np.zeros((1, channels))
    golden = {"x": samples, "y": Reference(spec, weights).run(spec.features(samples))}
    write_bundle(folder / "net.edge", spec, weights, {"golden.npz": write_npz(golden)})
    rows = np.random.default_rng(2).standard_normal((count, channels))
    header = ",".join(spec.inputs.names) + "\n"
    text = "".join(",".join(f"{v:.4f}" for v in row) + "\n" for row in rows.tolist())
    (folder / "lines.csv").write_text(header + text)
    return folder / "net.edge", folder / "lines.csv"


class Run:
    """The command on a bundle, in a process of its own."""

    def __init__(self, bundle: Path, backend: str):
        self._command = [
            *(sys.executable, "-m", "edge_lstm_runtime.cli", "run", str(bundle)),
            *("--backend", backend, "--input"),
        ]

    def of_file(self, lines: Path, out: Path) -> None:
        with out.open("wb") as file:
            subprocess.run([*self._command, str(lines)], stdout=file, check=True)

    def of_pipe(self, lines: Path, out: Path) -> None:
        with out.open("wb") as file:
            feeder = subprocess.Popen(["cat", str(lines)], stdout=subprocess.PIPE)
            command = [*self._command, "-"]
            subprocess.run(command, stdin=feeder.stdout, stdout=file, check=True)
            feeder.wait()

    def latencies(self, lines: list[bytes], count: int, burst: int) -> list[float]:
        return latencies([*self._command, "-"], lines, count, burst)


def latencies(command: list[str], lines: list[bytes], count: int, burst: int) -> list[float]:
    """Seconds from each of `count` single lines to its answer.

    burst: the lines that are sent at once, and awaited, before each of them.
    """
    found = []
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, bufsize=0, **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        into = process.stdin.fileno()
        out = process.stdout.fileno()
        ask(into, out, lines[:100])
        for k in range(count):
            if burst:
                ask(into, out, lines[k % 100 : k % 100 + burst])
            start = time.perf_counter()
            ask(into, out, [lines[k % len(lines)]])
            found.append(time.perf_counter() - start)
        process.stdin.close()
    return found


def ask(into: int, out: int, lines: list[bytes]) -> None:
    """Send lines, and wait for the answers to all of them."""
    os.write(into, b"".join(lines))
    answered = 0
    while answered < len(lines):
        answered += os.read(out, 1 << 16).count(b"\n")


def measured(call: Callable[[], object]) -> Array:
    """(2,) the seconds of a call: by the clock, and of processors, with those of its children."""
    start = now()
    call()
    return now() - start


def now() -> Array:
    used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return np.array([time.perf_counter(), sum(u.ru_utime + u.ru_stime for u in used)])


def line_by_line(session: Session, lines: Path, out: Path) -> None:
    with lines.open() as file, out.open("w") as told:
        for answer in answers(session, file):
            told.write(json.dumps(answer, allow_nan=False) + "\n")
            told.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=200_000)
    parser.add_argument("--channels", type=int, default=6)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--backend", default="native")
    parser.add_argument("--asked", type=int, default=10_000, help="single lines through the pipe")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    count = arguments.lines
    print(machine.describe("numpy"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle, lines = made(folder, arguments.hidden, arguments.channels, count)
        short = folder / "short.csv"
        first, *others = lines.read_bytes().splitlines(keepends=True)
        short.write_bytes(first)
        run = Run(bundle, arguments.backend)
        outs = [folder / way for way in ("file", "pipe", "line by line")]
        rows: dict[str, list[Array]] = {"file": [], "pipe": [], "line by line": []}
        for _ in range(arguments.repeats):
            start = measured(lambda: run.of_file(short, folder / "nothing"))
            rows["file"].append(measured(lambda: run.of_file(lines, outs[0])) - start)
            rows["pipe"].append(measured(lambda: run.of_pipe(lines, outs[1])) - start)
            with load(bundle).session(arguments.backend) as session:
                rows["line by line"].append(
                    measured(functools.partial(line_by_line, session, lines, outs[2]))
                )
        same = len({out.read_bytes() for out in outs}) == 1
        print(f"{count} lines x {arguments.channels} channels, hidden {arguments.hidden},", end=" ")
        print(f"{arguments.backend}; the start of the command is left out")
        print("| way | lines/s | lines/s of processor time | x line by line |")
        print("| --- | --- | --- | --- |")
        middle = {way: np.median(times, axis=0) for way, times in rows.items()}
        for way, times in middle.items():
            rate = " | ".join(f"{count / t:,.0f}" for t in times)
            print(f"| {way} | {rate} | {middle['line by line'][1] / times[1]:.1f} |")
        print(f"answers the same to the byte: {'yes' if same else 'NO'}\n")
        print("| a line to its answer, through pipes | median | p99 | p99.9 | longest |")
        print("| --- | --- | --- | --- | --- |")
        for burst in (None, 0, 50, 500):
            asked = arguments.asked // (10 if burst else 1)
            if burst is None:
                times = latencies([sys.executable, "-c", ECHO], others, asked, 0)
            else:
                times = run.latencies(others, asked, burst)
            times.sort()
            at = [times[int(share * (len(times) - 1))] for share in (0.5, 0.99, 0.999, 1)]
            what = f"after bursts of {burst} lines" if burst else "one line at a time"
            if burst is None:
                what = "one line at a time, a program that only echoes it"
            print(f"| {what} | {' | '.join(f'{1e3 * t:.3f} ms' for t in at)} |")


if __name__ == "__main__":
    main()
