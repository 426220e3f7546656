"""The folder of a run, a cross-validation or a comparison, held by one process at a time."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

from edge_lstm_runtime.errors import TrainingError
from edge_lstm_runtime.files import one_at_a_time

from .checkpoint import check_folder, make_folder


@contextlib.contextmanager
def claimed(
    out: Path,
    what: str,
    marks: tuple[str, ...],
    *,
    resume: bool,
    again: str = "go on with --resume",
) -> Iterator[None]:
    """Check the folder as `check_folder` does, make it, and keep other processes out of it.

    again: the advice after an interruption, if the `what` was begun.

    If nothing was written into it, it is removed again. Raises TrainingError if another process
    holds it, if it can't be made, and if a file in it can't be written.
    """
    check_folder(out, what, marks, resume=resume)
    new = [folder for folder in (out, *out.parents) if not folder.exists()]
    make_folder(out)
    with one_at_a_time(out, TrainingError):
        try:
            check_folder(out, what, marks, resume=resume)  # another one may have begun meanwhile
            # A kill in the middle of a write. In a folder that is no run yet, others may have such.
            patterns = ["**/.*.tmp"] if resume else [f".{mark}.*.tmp" for mark in marks]
            for leftover in itertools.chain.from_iterable(map(out.glob, patterns)):
                if leftover.is_file():
                    leftover.unlink()
            yield
        except OSError as e:
            begun = any((out / mark).exists() for mark in marks)
            advice = again if begun else "start again"
            raise TrainingError(
                f"can't write {e.filename or out}: {e.strerror or e}; every file is whole, the old "
                f"one or the new one; mend the cause and {advice}"
            ) from e
        finally:
            for folder in new:
                with contextlib.suppress(OSError):  # not empty
                    folder.rmdir()
