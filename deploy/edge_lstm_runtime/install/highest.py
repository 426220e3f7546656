"""The highest version of a model that was installed: compared at first, remembered at the end."""

from __future__ import annotations

import contextlib
from pathlib import Path

from ..files import atomic_write
from ..model.bundle import Bundle
from ..trust.versions import compare_version, remember_version, version_file


class Highest:
    """folder: as `load(remember=)` has it. older: whether a lower version is allowed."""

    def __init__(self, bundle: Bundle, shown: str, folder: Path, *, older: bool):
        """shown: the bundle's name in messages. Raises as `compare_version`."""
        compare_version(bundle, shown, folder, older=older)
        self._asked = bundle, shown, folder
        self._older = older
        self._file = version_file(bundle, shown, folder)
        self._before: bytes | None = None
        with contextlib.suppress(FileNotFoundError):
            self._before = self._file.read_bytes()

    def remember(self) -> None:
        """Raises as `remember_version`."""
        remember_version(*self._asked, older=self._older)

    def forget(self) -> None:
        """It is again what it was: a service too may have remembered the new one."""
        if self._before is None:
            self._file.unlink(missing_ok=True)
        elif self._file.read_bytes() != self._before:
            with atomic_write(self._file) as out:
                out.write(self._before)
