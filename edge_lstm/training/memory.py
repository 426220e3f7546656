"""Whether a network can be trained in the memory of this machine, before it is tried."""

from __future__ import annotations

import os
import re
import resource
from pathlib import Path

from edge_lstm_runtime.errors import ConfigError
from edge_lstm_runtime.model.network import Network

# float32: the weights, their gradients, and Adam's two moments
BYTES_PER_WEIGHT = 4 * 4


def check_memory(network: Network) -> None:
    """Raise ConfigError if its weights alone need more than is free."""
    needed = network.parameters * BYTES_PER_WEIGHT
    free = _free()
    if needed > free:
        raise ConfigError(
            f"[model] a network of {network.parameters:,} weights needs {needed / 1e9:.1f} GB to "
            f"be trained, and {free / 1e9:.1f} GB are free; lower hidden_size or the layers' units"
        )


def _free() -> float:
    """Bytes: the least of what the system has, and of the limits of this process and its group."""
    limits = [float("inf")]
    try:
        found = re.search(r"MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text("utf-8"))
        limits += [float(found[1]) * 1024] if found else []
    except OSError:  # another system
        limits.append(float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE"))
    for limit in resource.getrlimit(resource.RLIMIT_AS):
        limits += [float(limit)] if limit != resource.RLIM_INFINITY else []
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            limits.append(float(Path("/sys/fs/cgroup", name).read_text("utf-8")))
        except (OSError, ValueError):  # no such group, or "max"
            continue
    return min(limits)
