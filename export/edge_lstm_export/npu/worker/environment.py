"""The environment of its own that a vendor's converter has: what it needs, where it is, whether it
is whole. `making` makes and removes it.

It is safe to delete. Its stamp has the sha256 of what was asked for and of what was installed,
every file with its name and content, and a sha256 of its own.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import platform
import sys
from pathlib import Path

from edge_lstm_runtime.files import cache_folder, unsealed_json

from .content import digest_of, listed

LAYOUT = 3  # of the environment's folder
STAMP = "edge-lstm.json"


@dataclasses.dataclass(frozen=True)
class State:
    """damage: "" if the environment was not made, None if it is whole. Else it says what is
    wrong."""

    home: Path
    damage: str | None
    bytes: int = 0
    python: str = ""
    tool: str = ""


@dataclasses.dataclass(frozen=True)
class Environment:
    """The environment of one vendor's converter.

    tool       the package that is the converter. The environment's folder has its name
    folder     the vendor's, with requirements.txt: every package, pinned, with its hashes
    pythons    the first and the last version that they are for, with a locked torch for the CPU
    preferred  the one that is made if the running one is none of these
    imports    statements that must work there, a line each
    download   its size, in words
    option     of `edge-lstm converter`. "" for the vendor of the default target
    """

    tool: str
    folder: Path
    pythons: tuple[tuple[int, int], tuple[int, int]]
    preferred: str
    imports: str
    download: str
    option: str = ""

    def unsupported_reason(self) -> str | None:
        """Why the converter can't run on this machine, or None if it can."""
        if sys.platform == "linux" and platform.machine() in ("x86_64", "AMD64"):
            return None
        here = f"{sys.platform} {platform.machine()}"
        return f"{self.tool} runs on Linux x86-64 only, and this is {here}"

    def requirements(self) -> str:
        return (self.folder / "requirements.txt").read_text("utf-8")

    def asked(self) -> str:
        """The sha256 of what was asked for."""
        return hashlib.sha256(f"{LAYOUT}\n{self.requirements()}".encode()).hexdigest()

    @property
    def home(self) -> Path:
        """Its folder, there or not. The name has a digest of the requirements."""
        return cache_folder() / f"{self.tool}-{self.asked()[:12]}"

    def others(self) -> list[Path]:
        """Environments that other versions of edge-lstm made, from other requirements."""
        home = self.home
        found = home.parent.glob(f"{self.tool}-*")
        return sorted(p for p in found if p != home and p.is_dir())

    def advice(self) -> str:
        return (
            f"its environment in {self.home} seems damaged: "
            f"`edge-lstm converter remove{self.option}` removes it, and the next export makes it "
            "again"
        )

    def state(self) -> State:
        """Reads all files, which takes about 2 s for RKNN's. If none has changed since, the process
        does not read them again, which takes 0.2 s."""
        home = self.home
        if not os.path.lexists(home):
            return State(home, "")
        found = listed(home, STAMP)
        size = sum(file.size for file in found)
        try:
            stamp = unsealed_json((home / STAMP).read_bytes())
            wanted = (stamp["files"], stamp["bytes"])
            content = (stamp["asked"], stamp["content"])
            version = str(stamp["python"])
            tool = str(stamp[self.tool])
        except (OSError, ValueError, KeyError, TypeError):
            return State(
                home,
                "it was not made to the end, or partly removed: "
                f"{STAMP} is missing or not readable",
                size,
            )
        damage = None
        interpreter = home / "bin/python"
        if not os.access(interpreter, os.X_OK):
            damage = f"its Python {version} is gone: {interpreter} leads to nothing that can be run"
        elif (len(found), size) != wanted:
            damage = (
                f"{len(found)} files of {size} bytes are there, "
                f"and {wanted[0]} of {wanted[1]} bytes should be"
            )
        elif (self.asked(), digest_of(home, found)) != content:
            damage = "the content of its files is not what was installed"
        return State(home, damage, size, version, tool)
