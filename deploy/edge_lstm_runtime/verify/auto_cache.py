"""The last choices of "auto".

Only the ranking by speed is remembered, never that an answer was right. The choices are in one
small file, `auto.json` in the cache folder, each under a hash of the bundle and of the machine. So
a new bundle, library, driver or kernel is a new question. A file that can't be read, written or
understood, or whose content is not that of its sha256, counts as no file. `EDGE_LSTM_REMEMBER=0`
turns all of this off.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np

from .. import log
from ..backends.registry import known_facts
from ..digest import sha256
from ..errors import ConfigError
from ..files import atomic_write, cache_folder, sealed_json, unsealed_json
from ..model.bundle import Bundle
from ..version import __version__

KEPT = 100  # the newest answers
# In /proc/cpuinfo: x86 has the first, Arm the others.
_PROCESSOR = ("model name", "CPU implementer", "CPU part", "Hardware")
_BOARD = "/proc/device-tree/model"
_KERNELS_FILES = "/proc/", "/sys/"  # without size and date, so their text counts


@dataclasses.dataclass(frozen=True)
class Reason:
    """The fate of a candidate, in words."""

    backend: str
    artifact: str | None
    text: str

    def __str__(self) -> str:
        return f"{label(self.backend, self.artifact)}: {self.text}"


@dataclasses.dataclass(frozen=True)
class Remembered:
    """The fastest backend that was right, and the reasons of that choice for every candidate."""

    backend: str
    artifact: str | None
    reasons: tuple[Reason, ...]


def label(backend: str, artifact: str | None) -> str:
    return backend if artifact is None else f"{backend} ({artifact})"


def question(bundle: Bundle, *asked: Any) -> str:
    """The key of an answer: a hash of the bundle, of the machine, and of `asked`.

    The manifest has the sha256 of every member, so it stands for the bundle.
    """
    asking = [bundle.manifest, machine(), asked]
    return sha256(json.dumps(asking, sort_keys=True, default=str).encode())


def recall(key: str) -> Remembered | None:
    try:
        entry = _read()[key]
        answer = Remembered(
            entry["backend"],
            entry["artifact"],
            tuple(Reason(**reason) for reason in entry["reasons"]),
        )
    except (KeyError, TypeError):
        return None
    texts = [
        answer.backend,
        *(text for reason in answer.reasons for text in (reason.backend, reason.text)),
    ]
    members = [answer.artifact, *(reason.artifact for reason in answer.reasons)]
    sensible = all(isinstance(text, str) for text in texts) and all(
        isinstance(member, str | None) for member in members
    )
    return answer if sensible else None


def remember(key: str, answer: Remembered) -> None:
    if not wanted():
        return
    answers = {k: v for k, v in _read().items() if k != key}
    answers[key] = dataclasses.asdict(answer)  # at the end, as the newest
    data = sealed_json(dict(list(answers.items())[-KEPT:]))
    try:
        file = _file()
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(file) as out:
            out.write(data)
    except (OSError, ConfigError) as e:
        log.info("what 'auto' took is not remembered: %s", e)


def machine() -> list[str]:
    """The facts about this machine on which a backend's speed depends."""
    facts = [
        f"edge-lstm {__version__}",
        f"Python {platform.python_version()}",
        f"NumPy {np.__version__}",
        platform.machine(),
    ]
    # The kernel's version, because the NPU's driver is in the kernel.
    facts += [
        f"{os.cpu_count()} cores",
        platform.system(),
        platform.release(),
        platform.version(),
    ]
    facts += sorted(
        {line for line in _text("/proc/cpuinfo").splitlines() if line.startswith(_PROCESSOR)}
    )
    facts.append(_text(_BOARD))
    for name, backend in known_facts().items():
        facts.append(name)
        if backend is not None:
            facts += [f"{variable}={os.environ.get(variable)}" for variable in backend.variables]
            facts += [_state(library) for library in backend.libraries]
    return facts


def _state(library: str) -> str:
    """A library's size and date, which change if it is replaced. Its version would take 30 ms."""
    if library.startswith(_KERNELS_FILES):
        return _text(library)
    return _stamp(Path(library) if library.startswith("/") else _origin(library))


def _origin(package: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):  # half installed
        return None
    return Path(spec.origin) if spec is not None and spec.origin else None


def _stamp(path: Path | None) -> str:
    try:
        facts = path.stat() if path is not None else None
    except OSError:
        facts = None
    return f"{path}: {facts and (facts.st_size, facts.st_mtime_ns)}"


def _text(path: str) -> str:
    try:
        return Path(path).read_bytes().decode(errors="replace")
    except OSError:
        return ""


def wanted() -> bool:
    return os.environ.get("EDGE_LSTM_REMEMBER") != "0"


def _file() -> Path:
    return cache_folder() / "auto.json"


def _read() -> dict[str, Any]:
    if not wanted():
        return {}
    try:
        answers = unsealed_json(_file().read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ConfigError, ValueError, RecursionError) as e:
        log.info("what 'auto' took before can't be read: %s", e)
        return {}
    return answers if isinstance(answers, dict) else {}
