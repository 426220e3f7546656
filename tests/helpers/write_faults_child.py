"""Runs a command many times, each in a fork of this process, with a fault at another write.

Standard input: a JSON object: modules (imported once), library, folder (of the template and the
copies), root (the part of a copy below which calls fail), argv, runs: [[n, errno, later], ...].
Standard output: a line of JSON for each run: code, error, seen. The copy of run k is FOLDER/k.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

TIMEOUT = 120


def child(job: dict[str, Any], copy: Path, n: int, error: int, later: bool) -> None:
    from edge_lstm_runtime import cli

    faults = ctypes.CDLL(job["library"])
    os.chdir(copy)
    told = os.open(copy.with_suffix(".err"), os.O_WRONLY | os.O_CREAT)
    os.dup2(told, 1)
    os.dup2(told, 2)
    root = str(copy / job["root"])
    faults.faults_arm(root.encode(), ctypes.c_long(n), error, int(later))
    try:
        code = cli.main(job["argv"])
    except SystemExit as e:
        code = int(e.code or 0)
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 99
    sys.stdout.flush()
    sys.stderr.flush()
    faults.faults_seen.restype = ctypes.c_long
    copy.with_suffix(".seen").write_text(str(faults.faults_seen()))
    os._exit(code)


def main() -> None:
    job = json.load(sys.stdin)
    for name in job["modules"]:
        importlib.import_module(name)
    folder = Path(job["folder"])
    for number, (n, error, later) in enumerate(job["runs"]):
        copy = folder / str(number)
        shutil.copytree(folder / "template", copy, symlinks=True)
        process = os.fork()
        if process == 0:
            try:
                child(job, copy, n, error, later)
            finally:
                os._exit(98)
        end = time.monotonic() + TIMEOUT
        while not (ended := os.waitpid(process, os.WNOHANG))[0]:
            if time.monotonic() > end:
                os.kill(process, signal.SIGKILL)
            time.sleep(0.005)
        seen = copy.with_suffix(".seen")
        answer = {
            "code": os.waitstatus_to_exitcode(ended[1]),
            "error": copy.with_suffix(".err").read_text(),
            "seen": int(seen.read_text()) if seen.exists() else None,
        }
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
