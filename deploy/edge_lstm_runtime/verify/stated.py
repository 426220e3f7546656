"""What a file of figures states beside them, so that they can be believed: the machine, the
versions, the bundle and the day. See docs/measurements.md, "Figures of a board"."""

from __future__ import annotations

import os
import platform
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from .. import native
from ..digest import sha256
from ..errors import BackendUnavailableError, BundleError
from ..files import failure
from ..model.bundle import Bundle
from ..version import __version__

FORMAT = 1  # of a row of `edge-lstm bench --json`
_CPU_INFO = "/proc/cpuinfo"
_BOARD = "/proc/device-tree/model"
_CPU = "/sys/devices/system/cpu/cpu0/cpufreq/"


def stated(bundle: Bundle, path: str | os.PathLike[str]) -> dict[str, Any]:
    """The bundle's file at `path`, and this machine. What it does not tell is "" or [].

    Raises BundleError if the file is gone.
    """
    network = bundle.spec.network
    try:
        data = Path(path).read_bytes()
    except OSError as e:
        raise BundleError(f"{path}: can't be read ({failure(e)})") from e
    return {
        "format": FORMAT,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "macs": None if network.opaque else network.macs_per_step,
        "parameters": network.parameters,
        "net": bundle.spec.summary,
        "bundle": {"name": Path(path).name, "sha256": sha256(data), "bytes": len(data)},
        "machine": platform.machine(),
        "board": _text(_BOARD),
        **_processor(_text(_CPU_INFO)),
        "cores": os.cpu_count(),
        "governor": _text(f"{_CPU}scaling_governor"),
        "kernels": _kernels(),
        "system": f"{platform.system()} {platform.release()}",
        "versions": {
            "edge-lstm": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
        },
    }


def _kernels() -> list[str]:
    """Those of the native library that this CPU runs, the fastest first, which is taken."""
    try:
        return list(native.kernels())
    except BackendUnavailableError:
        return []


def _processor(text: str) -> dict[str, Any]:
    """text: of /proc/cpuinfo, a paragraph for each core. A board may have cores of two kinds."""
    names: Counter[str] = Counter()
    features = []
    for paragraph in text.split("\n\n"):
        pairs = (line.partition(":") for line in paragraph.splitlines())
        row = {key.strip(): value.strip() for key, _, value in pairs}
        if "CPU part" in row:
            name = f"implementer {row.get('CPU implementer', '?')}, part {row['CPU part']}"
        else:
            name = row.get("model name", "") if "processor" in row else ""
        names.update([name] if name else [])
        features += row.get("Features", row.get("flags", "")).split()
    cpus = [f"{count} x {name}" for name, count in names.items()]
    return {"cpu": cpus, "features": sorted(set(features))}


def _text(path: str) -> str:
    """A file of the kernel. "" if it is not here."""
    try:
        return Path(path).read_text(errors="replace").strip("\0\n ")
    except OSError:
        return ""
