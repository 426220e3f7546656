"""An error in one line: one of ours, or the machine's."""

from __future__ import annotations

import errno

from ..errors import EdgeLstmError

# What to do about the machine's errors. The others are told as they are.
ADVICE = {
    errno.ENOSPC: "make room, or write elsewhere",
    errno.EDQUOT: "make room, or write elsewhere",
    errno.EFBIG: "raise the limit of a file's size (ulimit -f), or write elsewhere",
    errno.EROFS: "write elsewhere",
    errno.EACCES: "choose another place, or change its permissions",
    errno.EPERM: "choose another place, or change its permissions",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.EAGAIN: "end other processes, or raise their limit (ulimit -u)",
    errno.ENOMEM: "end other processes, or take a smaller model or less data",
}
# PyTorch and its libraries raise RuntimeError with one of these if memory is short.
NO_MEMORY = ("can't allocate memory", "out of memory", "std::bad_alloc", "Cannot allocate memory")


def in_one_line(error: BaseException) -> str | None:
    """The line, None for an error that is a bug of ours."""
    if isinstance(error, EdgeLstmError):
        return " ".join(str(error).split("\n"))
    if isinstance(error, MemoryError) or any(text in str(error) for text in NO_MEMORY):
        return f"there is not enough memory; {ADVICE[errno.ENOMEM]}"
    if isinstance(error, UnicodeEncodeError):
        shown = error.object[error.start : error.end]
        return (
            f"{shown!a} can't be written in the encoding {error.encoding}; set PYTHONUTF8=1, or a "
            "locale with UTF-8"
        )
    if isinstance(error, OSError):
        names = " -> ".join(str(n) for n in (error.filename, error.filename2) if n is not None)
        reason = error.strerror or str(error) or type(error).__name__
        advice = ADVICE.get(error.errno or 0)
        told = f"{names}: {reason}" if names else reason
        return f"{told}; {advice}" if advice else told
    return None
