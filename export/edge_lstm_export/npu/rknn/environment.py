"""The converter's own Python environment: made on first use, then checked and used again.

It is safe to delete. It is built in a folder beside its own, and renamed when it is whole. Its
stamp is written last. It has the sha256 of what was asked for and of what was installed, every file
with its name and content, and a sha256 of its own. One process at a time makes or removes it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

from edge_lstm_runtime import ConversionError
from edge_lstm_runtime.files import cache_folder, sealed_json, unsealed_json

from . import uv
from .content import digest_of, listed
from .indexes import settings_for

# Those with the vendor's wheel, our worker's syntax, and a locked build of torch for the CPU.
SUPPORTED = ((3, 11), (3, 12))
PREFERRED = "3.11"
LAYOUT = 3  # of the environment's folder
STAMP = "edge-lstm.json"
_BUILDING = ".building-"


@dataclasses.dataclass(frozen=True)
class State:
    """damage: "" if the environment was not made, None if it is whole. Else it says what is
    wrong."""

    home: Path
    damage: str | None
    bytes: int = 0
    python: str = ""
    toolkit: str = ""


def unsupported_reason() -> str | None:
    """Why the vendor's converter can't run on this machine, or None if it can."""
    if sys.platform == "linux" and platform.machine() in ("x86_64", "AMD64"):
        return None
    return (
        f"rknn-toolkit2 runs on Linux x86-64 only, and this is {sys.platform} {platform.machine()}"
    )


def location() -> Path:
    """The environment's folder, there or not. Its name has a digest of the requirements."""
    return cache_folder() / f"rknn-toolkit2-{_asked()[:12]}"


def state() -> State:
    """Reads all files, which takes about 2 s. If none has changed since, the process does not read
    them again, which takes 0.2 s."""
    home = location()
    if not os.path.lexists(home):
        return State(home, "")
    found = listed(home, STAMP)
    size = sum(file.size for file in found)
    try:
        stamp = unsealed_json((home / STAMP).read_bytes())
        wanted = (stamp["files"], stamp["bytes"])
        content = (stamp["asked"], stamp["content"])
        version = str(stamp["python"])
        toolkit = str(stamp["rknn-toolkit2"])
    except (OSError, ValueError, KeyError, TypeError):
        return State(
            home,
            f"it was not made to the end, or partly removed: {STAMP} is missing or not readable",
            size,
        )
    damage = None
    if not os.access(home / "bin/python", os.X_OK):
        damage = (
            f"its Python {version} is gone: {home / 'bin/python'} leads to nothing that can be run"
        )
    elif (len(found), size) != wanted:
        damage = (
            f"{len(found)} files of {size} bytes are there, "
            f"and {wanted[0]} of {wanted[1]} bytes should be"
        )
    elif (_asked(), digest_of(home, found)) != content:
        damage = "the content of its files is not what was installed"
    return State(home, damage, size, version, toolkit)


def python(say: Callable[[str], None]) -> Path:
    """The environment's interpreter. Makes the environment if it is not there, or damaged.

    Raises ConversionError if it can't be made. What was half made is then removed.
    """
    if state().damage is not None:
        with _locked(say) as lock:
            found = state()  # somebody else may have made it meanwhile
            if found.damage:
                say(
                    f"the converter's environment in {found.home} is damaged ({found.damage}); "
                    "making it again"
                )
            elif found.damage is not None:
                say(
                    f"making the converter's environment in {found.home} "
                    "(once; downloads about 400 MB unless they are cached)"
                )
            if found.damage is not None:
                _make(found, say, lock)
    return location() / "bin/python"


def remove(say: Callable[[str], None]) -> list[Path]:
    """Removes the environment, those of earlier versions, and the leftovers of killed processes.

    Returns the folders of the environments that were there.
    """
    home = location()
    if not home.parent.is_dir():
        return []
    removed = []
    with _locked(say), _building(home) as building:
        for path in [home, *others()]:
            if os.path.lexists(path):
                # At once: nothing half-removed stays under its name.
                path.rename(building / path.name)
                removed.append(path)
    return removed


def others() -> list[Path]:
    """Environments that other versions of edge-lstm made, from other requirements."""
    home = location()
    return sorted(p for p in home.parent.glob("rknn-toolkit2-*") if p != home and p.is_dir())


def advice() -> str:
    return (
        f"its environment in {location()} seems damaged: `edge-lstm converter remove` removes it, "
        "and the next export makes it again"
    )


def _make(found: State, say: Callable[[str], None], lock: int) -> None:
    home = found.home
    try:
        with _building(home) as building:
            requirements = building / "requirements.txt"
            requirements.write_text(_requirements(), "utf-8")
            made = building / "env"
            version = _make_empty(made, say, lock)
            variables = {**os.environ, **settings_for("cp{}{}".format(*version.split(".")))}
            interpreter = made / "bin/python"
            install = [
                "pip",
                "install",
                "--require-hashes",
                "--no-build",  # what a build needs has no hash here
                "--no-deps",
                "--python",
                str(interpreter),
                "-r",
                str(requirements),
            ]
            if problem := uv.call(install, variables, say, lock=lock):
                raise ConversionError(
                    f"can't make the converter's environment: `uv pip install` failed ({problem}); "
                    + _way_out(problem)
                )
            versions = _try_out(interpreter)
            contents = listed(made, STAMP)
            facts: dict[str, object] = {
                "files": len(contents),
                "bytes": sum(file.size for file in contents),
            }
            facts |= {"asked": _asked(), "content": digest_of(made, contents), **versions}
            (made / STAMP).write_bytes(sealed_json(facts))
            try:
                if os.path.lexists(home):
                    home.rename(building / "damaged")
                made.rename(home)
            except OSError:
                # Without locks somebody else may have made it meanwhile, and theirs serves as well.
                if state().damage is not None:
                    raise
    except OSError as e:
        raise ConversionError(
            f"can't make the converter's environment in {home}: {e.strerror or e}"
        ) from e


def _make_empty(made: Path, say: Callable[[str], None], lock: int) -> str:
    """An environment without packages, of the first Python that fits. Returns its version, such as
    "3.11"."""
    low, high = (".".join(map(str, v)) for v in SUPPORTED)
    fits = SUPPORTED[0] <= _running() <= SUPPORTED[1]
    choices = [sys.executable] if fits else [PREFERRED, f">={low},<={high}.99"]
    problem = None
    for choice in choices:
        problem = uv.call(
            ["venv", "--relocatable", "--python", choice, str(made)],
            os.environ,
            lambda _: None,
            lock=lock,
        )
        if problem is None:
            settings = dict(
                line.partition(" = ")[::2]
                for line in (made / "pyvenv.cfg").read_text("utf-8").splitlines()
            )
            version = ".".join(settings["version_info"].split(".")[:2])
            say(f"  with Python {version}")
            return version
    why = (
        "failed"
        if fits
        else f"found no Python {low} to {high}, which rknn-toolkit2 needs "
        f"(this is {'.'.join(map(str, _running()))}),"
    )
    way_out = (
        ""
        if fits
        else f"; install Python {PREFERRED}, or let uv fetch it "
        "(UV_PYTHON_DOWNLOADS, UV_OFFLINE, UV_PYTHON_INSTALL_MIRROR)"
    )
    raise ConversionError(
        f"can't make the converter's environment: `uv venv` {why} ({problem}){way_out}"
    )


def _try_out(interpreter: Path) -> dict[str, str]:
    """Versions of the installed packages, after an import that leaves the modules compiled."""
    code = (
        "import json, platform\n"
        "from importlib.metadata import version\n"
        "from rknn.api import RKNN\n"
        "from ruamel.yaml import YAML\n"
        "print(json.dumps({'python': platform.python_version(), "
        "'rknn-toolkit2': version('rknn-toolkit2')}))"
    )
    blocked = {"PYTHONHOME", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV"}
    variables = {k: v for k, v in os.environ.items() if k not in blocked}
    try:
        done = subprocess.run(
            [interpreter, "-c", code],
            # onnxruntime leaves a file in TMPDIR.
            env={**variables, "PYTHONNOUSERSITE": "1", "TMPDIR": str(interpreter.parents[2])},
            cwd=interpreter.parent,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=300,
            check=False,
        )
        versions: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired as e:
        raise ConversionError(
            "the converter's environment was made, "
            "but rknn-toolkit2 can't be imported there within 300 s"
        ) from e
    except (ValueError, IndexError) as e:
        message = (
            [line.strip() for line in done.stderr.splitlines() if line.strip()]
            or [f"exit code {done.returncode}"]
        )[-1]
        raise ConversionError(
            "the converter's environment was made, "
            f"but rknn-toolkit2 can't be imported there ({message}); "
            "`uv cache clean` makes uv fetch the packages anew"
        ) from e
    return versions


def _running() -> tuple[int, int]:
    return sys.version_info[:2]


def _requirements() -> str:
    return files(__package__).joinpath("requirements.txt").read_text("utf-8")


def _asked() -> str:
    return hashlib.sha256(f"{LAYOUT}\n{_requirements()}".encode()).hexdigest()


def _way_out(problem: str) -> str:
    if "hash mismatch" in problem.lower():
        return (
            "the index or wheel folder has another file under the name of the one that was locked: "
            "nothing of it was installed; find out who changed it"
        )
    return "it needs a package index, or the wheels in a folder named by UV_FIND_LINKS"


@contextlib.contextmanager
def _locked(say: Callable[[str], None]) -> Iterator[int]:
    """Holds the cache folder for one process. Gives the lock's descriptor.

    Also removes the half-made environments of killed processes. Raises ConversionError if the
    folder can't be used.
    """
    import fcntl

    cache = location().parent
    try:
        cache.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(cache, os.O_RDONLY)
    except OSError as e:
        raise ConversionError(
            f"can't use the folder {cache} for the converter's environment: {e.strerror}; "
            "EDGE_LSTM_CACHE names another"
        ) from e
    try:
        held = True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another process is making or removing the converter's environment; waiting for it")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:  # a file system without locks: each makes its own, and the last rename wins
            held = False
        for leftover in cache.glob(f"{_BUILDING}*") if held else ():
            shutil.rmtree(leftover, ignore_errors=True)
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _building(home: Path) -> Iterator[Path]:
    """A folder on the environment's own disk. It is removed afterwards."""
    building = Path(tempfile.mkdtemp(prefix=_BUILDING, dir=home.parent))
    try:
        yield building
    finally:
        shutil.rmtree(building, ignore_errors=True)
