"""The locks of the repository, read by the script that writes them. And wheels to try locks on."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import zipfile
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from helpers.paths import ROOT

LOCK = ROOT / "lock"


def renew() -> ModuleType:
    """lock/renew.py, which is in no package."""
    place = importlib.util.spec_from_file_location("renew", LOCK / "renew.py")
    assert place is not None
    assert place.loader is not None
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return module


def locked(names: Iterable[str]) -> str:
    """What the locks of `.venv` have of these packages: their pins, with the hashes."""
    script = renew()
    text = "".join((LOCK / f"{name}.txt").read_text("utf-8") for name in ("desktop", "dev"))
    wanted = set(names)
    found = [block for block in script.blocks(text) if script.pin(block)[0] in wanted]
    assert {script.pin(block)[0] for block in found} == wanted
    return "".join(found)


def make_wheel(folder: Path, name: str, code: str, version: str = "1") -> str:
    """A package of one module, whole, with a RECORD that fits. Returns the sha256 of the file."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    members = {
        f"{name}.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\n"
        f"Version: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
    }
    record = ""
    for member, content in members.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).decode()
        record += f"{member},sha256={digest.rstrip('=')},{len(content.encode())}\n"
    members[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for member, content in members.items():
            wheel.writestr(member, content)
    return hashlib.sha256(path.read_bytes()).hexdigest()
