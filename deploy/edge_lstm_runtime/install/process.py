"""A command with a time limit, which leaves nothing running if it is stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence

MOST = 1 << 16  # bytes of the output's end


def run(
    command: Sequence[str], seconds: float, env: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """-> its exit code, minus the signal's number if one ended it, and the end of its output.

    The output goes to a file: a process that it starts and leaves may keep a pipe open for ever.
    Raises OSError if it can't be started, and TimeoutError.
    """
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env=env,
            start_new_session=True,
        )
        try:
            code = process.wait(seconds)
        except BaseException as e:  # also if this process is told to stop
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(e, subprocess.TimeoutExpired):
                raise TimeoutError(f"it was not done after {seconds:.0f} s") from e
            raise
        said.seek(max(os.fstat(said.fileno()).st_size - MOST, 0))
        return code, said.read().decode(errors="replace")


def ended(code: int, text: str) -> str:
    """How it ended, in words: the signal or the code, and its last line."""
    how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    last = text.strip().splitlines()[-1:]
    return f"{how}: {last[0][:300]}" if last else how
