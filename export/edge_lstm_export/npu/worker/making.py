"""A converter's environment is made on first use, then checked and used again.

It is built in a folder beside its own, and renamed when it is whole. Its stamp is written last. One
process at a time makes or removes environments.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from edge_lstm_runtime import ConversionError
from edge_lstm_runtime.files import sealed_json

from . import uv
from .content import digest_of, listed
from .environment import STAMP, Environment, State
from .indexes import settings_for

TRY_OUT = 300  # seconds, for the imports after the packages are installed
_BUILDING = ".building-"
Say = Callable[[str], None]


def interpreter(environment: Environment, say: Say) -> Path:
    """The environment's interpreter. Makes the environment if it is not there, or damaged.

    Raises ConversionError if it can't be made. What was half made is then removed.
    """
    if environment.state().damage is not None:
        with _locked(environment.home.parent, say) as lock:
            found = environment.state()  # somebody else may have made it meanwhile
            if found.damage:
                say(
                    f"the converter's environment in {found.home} is damaged ({found.damage}); "
                    "making it again"
                )
            elif found.damage is not None:
                say(
                    f"making the converter's environment in {found.home} "
                    f"(once; downloads about {environment.download} unless they are cached)"
                )
            if found.damage is not None:
                _make(environment, found, say, lock)
    return environment.home / "bin/python"


def remove(environment: Environment, say: Say) -> list[Path]:
    """Removes the environment, those of earlier versions, and the leftovers of killed processes.

    Returns the folders of the environments that were there.
    """
    home = environment.home
    if not home.parent.is_dir():
        return []
    removed = []
    with _locked(home.parent, say), _building(home) as building:
        for path in [home, *environment.others()]:
            if os.path.lexists(path):
                # At once: nothing half-removed stays under its name.
                path.rename(building / path.name)
                removed.append(path)
    return removed


def _make(environment: Environment, found: State, say: Say, lock: int) -> None:
    home = found.home
    try:
        with _building(home) as building:
            requirements = building / "requirements.txt"
            requirements.write_text(environment.requirements(), "utf-8")
            made = building / "env"
            version = _make_empty(environment, made, say, lock)
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
            versions = _try_out(environment, interpreter)
            contents = listed(made, STAMP)
            facts: dict[str, object] = {
                "files": len(contents),
                "bytes": sum(file.size for file in contents),
            }
            content = digest_of(made, contents)
            facts |= {"asked": environment.asked(), "content": content, **versions}
            (made / STAMP).write_bytes(sealed_json(facts))
            try:
                if os.path.lexists(home):
                    home.rename(building / "damaged")
                made.rename(home)
            except OSError:
                # Without locks somebody else may have made it meanwhile, and theirs serves as well.
                if environment.state().damage is not None:
                    raise
    except OSError as e:
        raise ConversionError(
            f"can't make the converter's environment in {home}: {e.strerror or e}"
        ) from e


def _make_empty(environment: Environment, made: Path, say: Say, lock: int) -> str:
    """An environment without packages, of the first Python that fits. Returns its version, such as
    "3.11"."""
    low, high = (".".join(map(str, v)) for v in environment.pythons)
    fits = environment.pythons[0] <= _running() <= environment.pythons[1]
    choices = [sys.executable] if fits else [environment.preferred, f">={low},<={high}.99"]
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
        else f"found no Python {low} to {high}, which {environment.tool} needs "
        f"(this is {'.'.join(map(str, _running()))}),"
    )
    way_out = (
        ""
        if fits
        else f"; install Python {environment.preferred}, or let uv fetch it "
        "(UV_PYTHON_DOWNLOADS, UV_OFFLINE, UV_PYTHON_INSTALL_MIRROR)"
    )
    raise ConversionError(
        f"can't make the converter's environment: `uv venv` {why} ({problem}){way_out}"
    )


def _try_out(environment: Environment, interpreter: Path) -> dict[str, str]:
    """Versions of the installed packages, after an import that leaves the modules compiled."""
    tool = environment.tool
    code = (
        "import json, platform\n"
        "from importlib.metadata import version\n"
        f"{environment.imports}\n"
        "print(json.dumps({'python': platform.python_version(), "
        f"{tool!r}: version({tool!r})}}))"
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
            timeout=TRY_OUT,
            check=False,
        )
        versions: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired as e:
        raise ConversionError(
            "the converter's environment was made, "
            f"but {tool} can't be imported there within {TRY_OUT} s"
        ) from e
    except (ValueError, IndexError) as e:
        message = (
            [line.strip() for line in done.stderr.splitlines() if line.strip()]
            or [f"exit code {done.returncode}"]
        )[-1]
        raise ConversionError(
            "the converter's environment was made, "
            f"but {tool} can't be imported there ({message}); "
            "`uv cache clean` makes uv fetch the packages anew"
        ) from e
    return versions


def _running() -> tuple[int, int]:
    return sys.version_info[:2]


def _way_out(problem: str) -> str:
    if "hash mismatch" in problem.lower():
        return (
            "the index or wheel folder has another file under the name of the one that was locked: "
            "nothing of it was installed; find out who changed it"
        )
    return "it needs a package index, or the wheels in a folder named by UV_FIND_LINKS"


@contextlib.contextmanager
def _locked(cache: Path, say: Say) -> Iterator[int]:
    """Holds the cache folder for one process. Gives the lock's descriptor.

    Also removes the half-made environments of killed processes. Raises ConversionError if the
    folder can't be used.
    """
    import fcntl

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
