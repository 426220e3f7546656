"""A wav file that is written as its samples come, and is there as a whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..errors import ConfigError
from ..files import atomic_write, check_file_writable, failure
from . import wav
from .pcm import Piece


class WavFile:
    """path: to replace. rate: Hz. Raises ConfigError if the file can't be written.

    samples: of the file once it is there. clipped: so many of them were beyond full scale.
    """

    def __init__(self, path: Path, rate: int):
        self.path = path
        self.samples = 0
        self.clipped = 0
        self._rate = rate
        try:
            check_file_writable(path)
        except OSError as e:
            raise ConfigError(f"can't write {path}: {e.strerror or e}") from e

    def write(self, pieces: Iterable[Piece]) -> None:
        """Mono 16-bit PCM. Raises ConfigError if it can't be written, and what `pieces` raises.

        If the command is stopped meanwhile (KeyboardInterrupt), the samples up to there make a
        whole file: a microphone has no other end.
        """
        stopped = None
        try:
            with atomic_write(self.path) as file:
                start = file.write(wav.header(self._rate, 0))
                try:
                    for pcm, clipped in pieces:
                        file.write(pcm.astype("<i2").tobytes())
                        self.clipped += clipped
                except KeyboardInterrupt as e:
                    stopped = e
                    if file.tell() == start:
                        raise
                samples = (file.tell() - start) // 2
                file.seek(0)
                file.write(wav.header(self._rate, samples))
        except OSError as e:
            raise ConfigError(f"can't write {self.path}: {failure(e)}") from e
        self.samples = samples
        if stopped is not None:
            raise stopped
