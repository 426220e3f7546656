"""The converter's own Python environment: made on first use, used again afterwards, safe to delete."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from edge_lstm_runtime import ConversionError, MissingDependencyError

SUPPORTED = (3, 10), (3, 12)  # the Pythons that have both the vendor's wheel and our worker's syntax
PREFERRED = 3, 11


def unsupported_reason() -> str | None:
    """Why the vendor's converter can't run on this machine, or None where it can."""
    if sys.platform == "linux" and platform.machine() in ("x86_64", "AMD64"):
        return None
    return f"rknn-toolkit2 runs on Linux x86-64 only, and this is {sys.platform} {platform.machine()}"


def location() -> Path:
    """Where the environment is, or will be: a folder that names the requirements it was made from."""
    digest = hashlib.sha256(_requirements().encode()).hexdigest()[:12]
    cache = os.environ.get("EDGE_LSTM_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edge-lstm"
    return Path(cache) / f"rknn-toolkit2-{digest}"


def python(say: Callable[[str], None]) -> Path:
    """The environment's interpreter; makes the environment when it is not there.

    Raises ConversionError when it can't be made; what was half made is removed.
    """
    home = location()
    if not (home / "bin/python").exists():
        say(f"making the converter's environment in {home} (once; downloads about 400 MB unless they are cached)")
        _make(home)
    return home / "bin/python"


def _make(home: Path) -> None:
    try:
        from uv import find_uv_bin
    except ImportError as e:
        raise MissingDependencyError("uv, which makes the converter's environment,", "export") from e
    home.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=".building-", dir=home.parent))
    low, high = SUPPORTED
    fits = low <= sys.version_info[:2] <= high
    major, minor = sys.version_info[:2] if fits else PREFERRED
    version = sys.executable if fits else f"{major}.{minor}"
    requirements = building / "requirements.txt"
    try:
        requirements.write_text(_requirements(), "utf-8")
        environment = {**os.environ, **_index_settings(f"cp{major}{minor}")}
        base = [find_uv_bin()]
        _uv([*base, "venv", "--relocatable", "--python", version, str(building / "env")], environment)
        interpreter = str(building / "env/bin/python")
        _uv([*base, "pip", "install", "--no-deps", "--python", interpreter, "-r", str(requirements)], environment)
        try:
            (building / "env").rename(home)
        except OSError:
            if not (home / "bin/python").exists():  # somebody else made it meanwhile: theirs serves as well
                raise
    except OSError as e:
        raise ConversionError(f"can't make the converter's environment in {home}: {e.strerror or e}") from e
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _requirements() -> str:
    return files(__package__).joinpath("requirements.txt").read_text("utf-8")


def _uv(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise ConversionError(
            f"can't make the converter's environment: `{' '.join(command[1:3])}` failed ({' / '.join(lines[-3:]) or 'no message'}); "
            "it needs a package index, or the wheels in a folder named by UV_FIND_LINKS"
        )


def _index_settings(tag: str) -> dict[str, str]:
    """Variables for uv, which does not read pip's configuration: a private index or a wheel folder that pip knows is handed on.

    uv's own variables win. tag: of the environment's Python, such as "cp311".
    """
    listing = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False).stdout
    pip = {}
    for line in listing.splitlines():
        key, _, value = line.partition("=")
        pip[key.rsplit(".", 1)[-1]] = " ".join(value.strip().strip("'\"").replace("\\n", " ").split())
    settings = {}
    for pip_key, uv_key in (("index-url", "UV_DEFAULT_INDEX"), ("extra-index-url", "UV_INDEX"), ("find-links", "UV_FIND_LINKS")):
        if pip.get(pip_key) and uv_key not in os.environ:
            settings[uv_key] = pip[pip_key].replace(" ", "," if uv_key == "UV_FIND_LINKS" else " ")
    if "UV_INDEX" in settings:
        settings["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # as pip does with these: every index counts alike; all versions are pinned
    links = (settings.get("UV_FIND_LINKS") or os.environ.get("UV_FIND_LINKS", "")).replace(",", " ").split()
    if not any(Path(folder.removeprefix("file://")).glob(f"torch-*-{tag}-*.whl") for folder in links):
        settings["UV_TORCH_BACKEND"] = os.environ.get("UV_TORCH_BACKEND", "cpu")  # the converter never uses a GPU
    return settings
