"""Where a model is from: RUN/provenance.json, written at the end of its training.

It has the only dates of a run. A bundle takes them from here, so an export gives the same bytes at
any time. Runs of earlier versions have no such file.
"""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
import subprocess
import time
from pathlib import Path

from edge_lstm_runtime.errors import DataError
from edge_lstm_runtime.version import __version__

from ..config.schema import Config
from ..data.files import locate
from . import checkpoint

FILE = "provenance.json"
ROOT = Path(__file__).parents[2]
SOURCES = ("edge_lstm", "export", "deploy")


def record(out: Path, config: Config) -> None:
    """Write the file."""
    values = {"trained": _moment(time.time()), "code": f"edge-lstm {__version__}"}
    if (newest := _newest(config)) is not None:
        values["data_modified"] = _moment(newest)
    if commit := commit_of(ROOT):
        values["commit"] = commit
    checkpoint.save_json(out / FILE, values)


def of_run(path: Path, config: Config, fingerprint: str) -> dict[str, str]:
    """All that is known. path: of the run. fingerprint: of its data. Raises TrainingError for a
    damaged file."""
    try:
        values = checkpoint.read_json(path / FILE)
    except FileNotFoundError:
        values = {}
    settings = json.dumps(config.to_dict(), sort_keys=True)
    return {
        **values,
        "data_sha256": fingerprint,
        "config_sha256": hashlib.sha256(settings.encode()).hexdigest(),
    }


@functools.lru_cache
def commit_of(root: Path) -> str:
    """The commit of a clone of edge-lstm, with ", changed" if its sources differ from it.

    "" if it is no clone: an installed package may lie in the repository of somebody else.
    """
    if not (root / ".git").exists() or not (root / SOURCES[0]).is_dir() or not shutil.which("git"):
        return ""
    git = ["git", "-C", str(root)]
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    if head.returncode != 0:
        return ""
    command = [*git, "status", "--porcelain", "--", *SOURCES]
    status = subprocess.run(command, capture_output=True, text=True, check=False)
    changed = ", changed" if status.stdout or status.returncode != 0 else ""
    return f"{head.stdout.strip()}{changed}"


def _newest(config: Config) -> float | None:
    """When the newest of the data's files was modified, None if there are none to be found."""
    found = []
    for named in config.data.paths:
        try:
            path = locate(named, config.folder)
        except DataError:  # moved meanwhile
            continue
        files = path.rglob("*") if path.is_dir() else [path]
        found += [file.stat().st_mtime for file in files if file.is_file()]
    return max(found, default=None)


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
