"""The whole line on real data: train, export, check, report."""

from __future__ import annotations

import argparse
import csv
import io
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm import Run, load_config, train
from edge_lstm_runtime import ConfigError, describe, load
from edge_lstm_runtime.files import atomic_write, check_folder_writable
from edge_lstm_runtime.model.measured import Measured

from ..measure.keys import NUMPY
from ..npu.worker.batch import Batch
from ._shared import say
from .export import summary

GOES_ON = True  # the work is more than its output
# What a demo leaves in its folder, with the logs and locks of one that was killed.
OURS = re.compile(r"run|\.?(motions|recordings?)\b.*")


def demo(out: Path, say: Callable[[str], None]) -> int:
    """Train on BasicMotions, export for RK3588, check, and stream one recording.

    Everything goes into `out`, which is removed first. The data goes there as well, as a CSV like
    one of the user's own.

    Returns 0 if all is right, 1 as `edge-lstm export` does. Raises ConfigError if `out` can't be
    written, or has anything that no demo made.
    """
    _check_replaceable(out)
    from ..pipeline import export_run  # takes seconds

    start = time.perf_counter()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    say(
        "1. Train on BasicMotions: 6 channels of accelerometer and gyroscope, 100 steps, "
        "4 activities"
    )
    run = train(load_config("recipe:activity"), out / "run")
    _write_recordings(run, out / "recordings.csv")
    say(
        "\n2. Export for RK3588: ONNX, then fp16 and w8a8 by the vendor's converter, "
        "each compared with the float64 reference"
    )
    work = export_run(
        run, out / "motions.edge", targets=("rk3588",), schemes=("fp16", "w8a8"), say=say
    )
    print(summary(work))

    say("\n3. Stream one test recording from the bundle, sample by sample")
    model = load(out / "motions.edge")
    recording = run.splits.test[0]
    header = ",".join(model.spec.inputs.names)
    with atomic_write(out / "recording.csv") as file:
        np.savetxt(file, recording.x, delimiter=",", header=header, comments="", fmt="%.9g")

    def streamed(key: Measured) -> NDArray[Any]:
        with model.session(key.backend, artifact=key.member) as session:
            return np.stack([session.step(x) for x in recording.x])

    ways = (NUMPY, *(artifact.simulated for artifact in work.artifacts.values()))
    truth = model.spec.answer.classes[recording.label or 0]
    for name, stream in zip(ways, Batch().side_by_side(streamed, ways), strict=True):
        print(
            f"   {name!s:<28} after 10, 50, 100 samples: "
            + ", ".join(str(describe(model.spec, stream[n])["label"]) for n in (9, 49, -1))
            + f"   (truth: {truth})"
        )
    say(f"\ndone in {time.perf_counter() - start:.0f} s; open {out / 'motions.html'}")
    return 1 if work.left_out or work.doubts else 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "The whole line on real data (BasicMotions: accelerometer and gyroscope, 4 activities): "
        "train, export for RK3588,\n"
        "check every backend that runs here, stream one recording, and write the report."
    )
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        default=Path("build/demo"),
        metavar="FOLDER",
        help="default: %(default)s; that of an earlier demo is replaced",
    )


def main(arguments: argparse.Namespace) -> int:
    return demo(arguments.out, say)


def _check_replaceable(out: Path) -> None:
    try:
        check_folder_writable(out)
        present = [path.name for path in out.iterdir()] if out.exists() else []
    except OSError as e:
        raise ConfigError(f"{out}: can't be written: {e.strerror or e}") from e
    if strange := sorted(name for name in present if not OURS.fullmatch(name)):
        shown = ", ".join(strange[:5]) + (", ..." if len(strange) > 5 else "")
        raise ConfigError(
            f"{out} has files that no demo made: {shown}; choose another folder, because the demo "
            "removes what is there"
        )


def _write_recordings(run: Run, path: Path) -> None:
    """A row for each sample of all splits, with the number of its recording and its class."""
    recordings = [*run.splits.train, *run.splits.val, *run.splits.test]
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(["recording", "activity", *run.spec.inputs.names])
    for number, recording in enumerate(recordings):
        activity = run.spec.answer.classes[recording.label or 0]
        rows.writerows([number, activity, *sample] for sample in recording.x.tolist())
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())
