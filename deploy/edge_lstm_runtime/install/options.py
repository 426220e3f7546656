"""What an installation is asked for."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from ..errors import ConfigError
from .service import Service


@dataclasses.dataclass(frozen=True)
class Options:
    """trusted, remember, older: of `load`. keep: releases, the current one included."""

    folder: Path
    service: Service
    trusted: Path | None = None
    remember: Path | None = None
    older: bool = False
    keep: int = 2

    def __post_init__(self) -> None:
        """Raises ConfigError."""
        if self.keep < 1:
            raise ConfigError(f"--keep-releases is {self.keep}; expected at least 1")
        if self.older and self.versions is None:
            raise ConfigError("--allow-downgrade is for --remember FOLDER; leave it out")

    @property
    def signers(self) -> Path | None:
        """The file of trusted keys. A flag that is forgotten opens no door."""
        own = self.folder / "allowed_signers"
        return self.trusted or (own if os.path.lexists(own) else None)

    @property
    def versions(self) -> Path | None:
        """The folder of the highest versions, the same way."""
        own = self.folder / "versions"
        return self.remember or (own if os.path.lexists(own) else None)
