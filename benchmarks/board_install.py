"""The costs of an installation on a board.

They are the size of the runtime's wheel, the time that `import edge_lstm_runtime` adds to NumPy's
own import, the time from there to the first answer of a bundle, and the memory of that process.
Each process is fresh, and has the wheel and NumPy alone.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import machine
import numpy as np
import peers

from edge_lstm_runtime import Reference, write_bundle
from edge_lstm_runtime.model.npz import write_npz

ROOT = Path(__file__).parents[1]
MAX_KB = 300
MAX_SHARE = 0.15
MAX_MB = 6
HIDDEN = 32
SCRIPT = """
import json, sys, time

def resident():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))

clock = time.perf_counter
times = [clock()]
import numpy
times.append(clock())
memory = [resident()]
start = clock()
import edge_lstm_runtime as rt
times.append(times[-1] + clock() - start)
start = clock()
session = rt.load(sys.argv[1]).session()
session.step([0.1] * 8)
times.append(times[-1] + clock() - start)
memory.append(resident())
names = {name.split(".")[0] for name in sys.modules}
foreign = {"torch", "onnx", "onnxruntime", "edge_lstm", "edge_lstm_export"} & names
assert not foreign, foreign
print(json.dumps([times, memory, session.backend.name, rt.__file__]))
"""


def build_wheel(out: Path) -> Path:
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(out), str(ROOT / "deploy")]
    for arguments in ([*build, "--no-isolation"], build):
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return next(out.glob("*.whl"))
    sys.exit(done.stderr or done.stdout)


def install(wheel: Path, site: Path) -> dict[str, float]:
    """Unpack the wheel, with NumPy beside it. Returns the kB of each part of the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
        members = [(i.filename, i.compress_size / 1000) for i in archive.infolist()]
    packages = Path(np.__file__).parents[1]
    for path in packages.glob("numpy*"):
        (site / path.name).symlink_to(path)
    library = sum(kb for name, kb in members if ".so" in name)
    return {"native library": library, "everything else": sum(kb for _, kb in members) - library}


def write_small(path: Path) -> None:
    spec, weights = peers.network(HIDDEN, 1, 8)
    x = np.random.default_rng(0).standard_normal((300, 8))
    y = Reference(spec, weights).run(spec.features(x))
    write_bundle(path, spec, weights, {"golden.npz": write_npz({"x": x, "y": y})})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python benchmarks/board_install.py --repeats 31"
    )
    parser.add_argument(
        "--repeats",
        type=int,
        default=11,
        help="fresh processes of each kind, whose median counts (default: %(default)s)",
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel = build_wheel(folder)
        size = wheel.stat().st_size / 1000
        parts = install(wheel, folder / "site")
        write_small(folder / "small.edge")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "EDGE_LSTM"))}
        kept |= {"PYTHONPATH": str(folder / "site"), "EDGE_LSTM_CACHE": str(folder / "cache")}

        def once(remember: str) -> tuple[list[float], list[int], str]:
            # -S: without the site-packages of this Python.
            command = [sys.executable, "-S", "-c", SCRIPT, str(folder / "small.edge")]
            environment = {**kept, "EDGE_LSTM_REMEMBER": remember}
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=True, cwd=folder
            )
            times, memory, backend, file = json.loads(done.stdout)
            assert file.startswith(name), file
            return [1e3 * (b - a) for a, b in itertools.pairwise(times)], memory, backend

        once("1")  # compiles the modules, and remembers the backend
        again = []
        first = []
        for _ in range(arguments.repeats):
            again.append(once("1"))
            first.append(once("0"))
    numpy_ms, import_ms, answer_ms = (
        statistics.median(column) for column in zip(*(times for times, *_ in again), strict=True)
    )
    choosing_ms = statistics.median(times[-1] for times, *_ in first)
    mb = statistics.median((after - before) / 1000 for _, (before, after), _ in again)
    print(machine.describe("numpy"))
    print(f"medians of {arguments.repeats} fresh processes, in turns; backend {again[0][-1]}\n")
    share = import_ms / numpy_ms
    rows = [
        ("wheel of this machine, kB", size, MAX_KB),
        *((f"  {part}", kb, None) for part, kb in parts.items()),
        ("import numpy, ms", numpy_ms, None),
        ("import edge_lstm_runtime after it, ms", import_ms, None),
        ("  as a share of NumPy's", share, MAX_SHARE),
        ("load, session and first step, ms", answer_ms, None),
        ("  if no backend is remembered", choosing_ms, None),
        ("resident memory above NumPy's, MB", mb, MAX_MB),
    ]
    for label, value, limit in rows:
        met = "met" if limit is None or value <= limit else "MISSED"
        note = "" if limit is None else f"target <= {limit}: {met}"
        print(f"{label:<40}{value:>9.3f}   {note}".rstrip())


if __name__ == "__main__":
    main()
