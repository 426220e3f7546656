"""Arrays as bytes: .npz files that are reproducible and safe to read."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.lib import format as numpy_format
from numpy.typing import NDArray

from ..errors import BundleError
from .archive import content, directory, stored


def write_npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The bytes of an .npz file: the same arrays give the same bytes."""
    buffer = io.BytesIO()
    ordered: dict[str, Any] = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}
    np.savez(buffer, **ordered)
    return buffer.getvalue()


def read_npz(data: bytes, name: str) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file as `write_npz` makes it, by name. Raises BundleError, with `name`.

    The arrays take no more memory than the file has bytes, whatever the file says.
    """
    try:
        entries = directory(data)
        if not stored(entries, len(data)):
            raise ValueError("it is compressed")
        return {e.name.removesuffix(".npy"): _array(content(data, e)) for e in entries}
    except Exception as e:  # the parsers answer hostile bytes with almost any exception
        raise BundleError(f"{name} is not a readable .npz file: {e}") from e


def _array(content: bytes) -> NDArray[Any]:
    """The array in an .npy file.

    Raises ValueError if the header doesn't fit the data, before memory is taken for the array.
    """
    npy: Any = numpy_format  # has no type hints
    file = io.BytesIO(content)
    major, _ = npy.read_magic(file)
    shape, _, dtype = {1: npy.read_array_header_1_0, 2: npy.read_array_header_2_0}[major](file)
    if dtype.hasobject:
        raise ValueError("it holds pickled objects, which are never read")
    if math.prod(shape) * dtype.itemsize != len(content) - file.tell():
        raise ValueError(f"an array of {dtype}{shape} can't be in {len(content)} bytes")
    file.seek(0)
    array: NDArray[Any] = npy.read_array(file, allow_pickle=False)
    return array
