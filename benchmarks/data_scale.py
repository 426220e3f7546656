"""Training on more data than one would hold in memory: its memory, and the time to the first batch.

The data is synthetic: seven noisy sines in each file. It is read twice, each time by a new process
that trains one epoch of a small forecaster. At the first start the files are read into the cache,
at the second start they are found there.

CPU is the processor's time, of which imports are a part: PyTorch and this package. "anonymous" is
memory that only this process has. "file-backed" is pages of the cache and of libraries, which the
system takes back when another process needs memory. The peak of both together is what the system
says (VmHWM). The others are sampled every 20 ms.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import machine
import numpy as np
import polars as pl

CONFIG = """
[data]
source = "{kind}"
path = "{kind}"
channels = ["c0", "c1", "c2", "c3", "c4", "c5", "c6"]
window = 100
[data.split]
by = "group"
val = 0.1
test = 0.1
[model]
task = "forecast"
targets = ["c0"]
horizon = 1
hidden_size = 8
[train]
epochs = 1
batch_size = 512
accelerator = "cpu"
threads = 1
"""


def make(folder: Path, files: int, rows: int) -> None:
    """Write the same values as CSV and as parquet."""
    rng = np.random.default_rng(0)
    steps = np.arange(rows)
    for kind in ("csv", "parquet"):
        (folder / kind).mkdir(parents=True)
        (folder / f"{kind}.toml").write_text(CONFIG.format(kind=kind))
    for k in range(files):
        phases = rng.uniform(0, 6, 7)
        waves = {
            f"c{n}": 10 * n
            + (n + 1) * np.sin(2 * np.pi * steps / (40 + 7 * n) + phases[n])
            + rng.normal(0, 0.3, rows)
            for n in range(7)
        }
        frame = pl.DataFrame(waves).select(pl.all().round(4))
        frame.write_csv(folder / "csv" / f"r{k:03d}.csv")
        frame.write_parquet(folder / "parquet" / f"r{k:03d}.parquet")


class Memory(threading.Thread):
    """Samples this process's memory. Figures are of MB."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peaks = {"RssAnon": 0.0, "RssFile": 0.0}

    def run(self) -> None:
        while True:
            for name in self.peaks:
                self.peaks[name] = max(self.peaks[name], status(name))
            time.sleep(0.02)


def status(name: str) -> float:
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1e3


def child(config: Path, out: Path) -> None:
    """Train, and print what it took in JSON."""
    memory = Memory()
    memory.start()
    from edge_lstm import load_config, train
    from edge_lstm.training.loop import Training

    first = {"imports": time.process_time()}
    update = Training._update

    def timed(training: Training, batch: object) -> object:
        made = update(training, batch)
        first.setdefault("wall", time.time() - float(os.environ["STARTED"]))
        first.setdefault("cpu", time.process_time())
        return made

    Training._update = timed
    run = train(load_config(config), out, quiet=True)
    weights = hashlib.sha256(b"".join(run.weights[name].tobytes() for name in sorted(run.weights)))
    peaks = {**memory.peaks, "VmHWM": status("VmHWM")}
    print(json.dumps({"first": first, "peaks": peaks, "weights": weights.hexdigest()}))


def start(config: Path, cache: Path) -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory() as out:
        variables = {
            **os.environ,
            "EDGE_LSTM_CACHE": str(cache),
            "STARTED": str(time.time()),
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, __file__, "--child", config, Path(out) / "run"]
        done = subprocess.run(command, env=variables, stdout=subprocess.PIPE, check=True)
    found: dict[str, dict[str, float]] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--rows", type=int, default=100_000, help="of each file")
    parser.add_argument("--kinds", nargs="+", default=["csv", "parquet"])
    parser.add_argument("--folder", type=Path, help="for the data and the cache; kept")
    parser.add_argument("--child", nargs=2, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(*arguments.child)
        return
    print(machine.describe("torch", "numpy", "polars"))
    print(f"{arguments.files} files x {arguments.rows:,} rows x 7 channels, synthetic\n")
    print(
        f"{'':<17}{'first batch':>12}{'CPU':>11}{'imports':>11}{'peak':>10}"
        f"{'anonymous':>11}{'file-backed':>13}",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as made:
        folder = arguments.folder or Path(made)
        if not (folder / "csv").exists():
            make(folder, arguments.files, arguments.rows)
        weights = set()
        for kind in arguments.kinds:
            for turn in ("first", "second"):
                found = start(folder / f"{kind}.toml", folder / f"cache-{kind}")
                first = found["first"]
                peaks = found["peaks"]
                seconds = f"{first['wall']:>7.1f} s{first['cpu']:>9.1f} s{first['imports']:>9.1f} s"
                both = f"{peaks['VmHWM']:>7,.0f} MB{peaks['RssAnon']:>8,.0f} MB"
                file = f"{peaks['RssFile']:>10,.0f} MB"
                print(f"{f'{kind}, {turn} start':<20}{seconds}{both}{file}", flush=True)
                weights.add(str(found["weights"]))
    same = "the same bits" if len(weights) == 1 else "NOT THE SAME"
    print(f"\nthe weights of all runs are {same}")


if __name__ == "__main__":
    main()
