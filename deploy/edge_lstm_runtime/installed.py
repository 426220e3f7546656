"""What this installation is, for messages that say how to install an extra."""

from __future__ import annotations


def pip_install(extra: str) -> str:
    """The command that adds one of edge-lstm's extras to this installation.

    No package index has edge-lstm. If it is installed, pip needs its name alone: it keeps what is
    there, from a wheel or a clone, and fetches the extra's packages. On a board, which has
    edge-lstm-runtime alone, pip needs the folder of the wheels too.
    """
    import importlib.metadata  # here: slow to load on a board, and needed after an error only

    try:
        importlib.metadata.distribution("edge-lstm")
    except importlib.metadata.PackageNotFoundError:
        return (
            f'pip install --find-links FOLDER "edge-lstm[{extra}]" '
            "with the folder of edge-lstm's wheels"
        )
    return f'pip install "edge-lstm[{extra}]"'
