"""The costs of an installation on a board.

They are the size of the wheel, and the time that importing the runtime adds to NumPy's own import.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import machine

ROOT = Path(__file__).parents[1]
MAX_KB = 400
MAX_MS = 30
SCRIPT = """
import json, sys, time
start = time.perf_counter()
import numpy
middle = time.perf_counter()
import edge_lstm_runtime
end = time.perf_counter()
names = {name.split(".")[0] for name in sys.modules}
foreign = {"torch", "onnx", "onnxruntime", "edge_lstm", "edge_lstm_export"} & names
assert not foreign, foreign
print(json.dumps([middle - start, end - middle, edge_lstm_runtime.__file__]))
"""


def build_wheel(out: Path) -> Path:
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(out), str(ROOT)]
    for arguments in ([*build, "--no-isolation"], build):
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return next(out.glob("*.whl"))
    sys.exit(done.stderr or done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python benchmarks/board_install.py --repeats 31"
    )
    parser.add_argument(
        "--repeats",
        type=int,
        default=21,
        help="fresh processes, of which the median counts (default: %(default)s)",
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wheel = build_wheel(Path(folder))
        size = wheel.stat().st_size / 1000
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(Path(folder) / "site")
            members = [(i.filename.split("/")[0], i.compress_size) for i in archive.infolist()]
        environ = {**os.environ, "PYTHONPATH": str(Path(folder) / "site")}
        environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package is compiled once

        def once() -> tuple[float, float]:
            done = subprocess.run(
                [sys.executable, "-c", SCRIPT],
                env=environ,
                capture_output=True,
                text=True,
                check=True,
                cwd=folder,
            )
            numpy_seconds, seconds, file = json.loads(done.stdout)
            assert file.startswith(folder), file
            return 1e3 * numpy_seconds, 1e3 * seconds

        once()
        times = [once() for _ in range(arguments.repeats)]
    numpy_ms, added_ms = (statistics.median(column) for column in zip(*times, strict=True))
    print(machine.describe("numpy"))
    print(f"medians of {arguments.repeats} fresh processes\n")
    parts = {
        package: sum(n for name, n in members if name == package) / 1000
        for package in sorted({name for name, _ in members})
    }
    rows = [
        ("wheel, kB", size, f"target <= {MAX_KB}: {'met' if size <= MAX_KB else 'MISSED'}"),
        *((f"  {package}", kb, "") for package, kb in parts.items()),
        ("import numpy, ms", numpy_ms, ""),
        (
            "import edge_lstm_runtime after it, ms",
            added_ms,
            f"target <= {MAX_MS}: {'met' if added_ms <= MAX_MS else 'MISSED'}",
        ),
        ("  as a share of NumPy's", added_ms / numpy_ms, ""),
    ]
    for label, value, note in rows:
        print(f"{label:<40}{value:>9.2f}   {note}".rstrip())


if __name__ == "__main__":
    main()
