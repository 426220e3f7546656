"""What a checkpoint says, without PyTorch, whose import takes seconds.

A checkpoint is a zip with one pickle. Tensors are left out, and nothing that the pickle names is
called, but for plain containers.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

from edge_lstm_runtime.errors import TrainingError
from edge_lstm_runtime.files import unsealed

PLAIN = {("collections", "OrderedDict"): OrderedDict}


class _Tensor:
    """Stands for whatever is no plain value."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return PLAIN.get((module, name), _Tensor)

    def persistent_load(self, pid: Any) -> Any:  # noqa: ARG002 - the bytes of a tensor
        return None


def peek(path: Path) -> dict[str, Any]:
    """The values of a checkpoint. Raises TrainingError if it is damaged or none."""
    try:
        content, _ = unsealed(path.read_bytes())
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            (name,) = (n for n in archive.namelist() if n.endswith("/data.pkl"))
            found = _Plain(io.BytesIO(archive.read(name))).load()
    except OSError as e:
        raise TrainingError(f"{path}: can't be read: {e.strerror or e}") from e
    except Exception as e:  # pickle and zipfile raise many types for a damaged file
        why = e if type(e) is ValueError else type(e).__name__
        raise TrainingError(f"{path}: damaged, or no checkpoint of edge-lstm ({why})") from e
    if not isinstance(found, dict) or not {"spec", "config", "progress"} <= set(found):
        raise TrainingError(f"{path}: no checkpoint of edge-lstm")
    return found
