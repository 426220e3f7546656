"""Recordings, read once into the cache if they are large."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from edge_lstm_runtime.errors import ConfigError, DataError
from edge_lstm_runtime.inputs.text import TextForm

from ..config.sections import Asked, DataSection
from . import cache
from .arrays import Arrays, Named, UnfitError
from .chunks import parts
from .files import locate
from .folders import inside
from .recordings import Recording

SMALL = 32 << 20  # bytes of the files: what is less is read each time
ARRAYS = ("x", "labels", "y", "time", "anomalous", "rows")  # of a `Recording`
# The keys of [data] that `read` doesn't look at.
LATER = {"split", "window", "stride", "short", "season", "normalize"}


def recordings(data: DataSection, asked: Asked) -> tuple[list[Recording], Any]:
    """What `data.read` gives, its arrays mapped into memory if the files are large.

    And the key of the cache, None if they are not from there. Raises DataError. If the cache can't
    be used, a line says so.
    """
    files = _files(data, asked) if data.KEPT else []
    if sum(size for _, size, read in files if read) < SMALL:
        return data.read(asked), None
    try:
        stats = {file: cache.stat(file) for file, _, read in files if read}
        contents = cache.contents(stats)
        listed = [(str(file), contents.get(file, size > 0)) for file, size, _ in files]
        keys = data.model_dump(mode="json", exclude=LATER)
        about = repr(dataclasses.replace(asked, folder=""))
        key = ["recordings", cache.module_of(type(data)), keys, about, listed]
        found = cache.kept(
            key,
            lambda arrays: _fill(arrays, data, asked),
            lambda: all(cache.stat(file) == stat for file, stat in stats.items()),
        )
        return _recordings(*found), key
    except (OSError, ConfigError) as e:
        cache.say_unused(cache.reason(e))
    except (UnfitError, DataError):  # `read` has the better message
        pass
    return data.read(asked), None


def _files(data: DataSection, asked: Asked) -> list[tuple[Path, int, bool]]:
    """Each file below the paths of [data], its size, and whether it is read."""
    found = []
    for path in data.paths:
        place = locate(path, asked.folder)
        for file in inside(place, set()) if place.is_dir() else [place]:
            read = file.is_file() and (file == place or file.name.lower().endswith(data.endings))
            found.append((file, file.stat().st_size if file.exists() else 0, read))
    return found


def _fill(arrays: Arrays, data: DataSection, asked: Asked) -> dict[str, Any]:
    names: dict[str, int] = {}  # of the classes
    bare = []
    for recording in data.each(asked):
        # In another order of memory, sums of floats could be grouped in another way.
        plain = recording.x.dtype == np.float64 and recording.x.flags.c_contiguous
        if recording.cut or recording.start or not plain:
            raise UnfitError
        facts = _facts(recording)
        for field in facts["arrays"]:
            array = getattr(recording, field)
            if field == "labels":  # as numbers, until the longest name is known
                found, places = np.unique(array, return_inverse=True)
                codes = [names.setdefault(str(name), len(names)) for name in found]
                arrays.add("codes", np.array(codes, np.int32)[places])
            else:
                arrays.add(field, array)
        bare.append(facts)
    whole = arrays.end()
    if names:
        for part in parts(whole["codes"]):
            arrays.add("labels", np.array(list(names))[part])
        whole = arrays.end()
        arrays.drop("codes")
    found_all = data.finished(_recordings(whole, {"recordings": bare}), asked)
    for field in ARRAYS:
        there = [a for r in found_all if (a := getattr(r, field)) is not None]
        if field not in whole:
            for array in there:
                arrays.add(field, array)
        elif not there:
            arrays.drop(field)
        elif sum(map(len, there)) != len(whole[field]):
            raise UnfitError
    return {"recordings": [_facts(recording) for recording in found_all]}


def _facts(recording: Recording) -> dict[str, Any]:
    return {
        "name": recording.name,
        "group": recording.group,
        "part": recording.part,
        "file": None if recording.file is None else str(recording.file),
        "form": recording.form.to_dict(),
        "notes": list(recording.notes),
        "length": len(recording.x),
        "arrays": [field for field in ARRAYS if getattr(recording, field) is not None],
    }


def _recordings(arrays: Named, facts: dict[str, Any]) -> list[Recording]:
    ends = dict.fromkeys(arrays, 0)
    forms: dict[str, TextForm] = {}
    made = []
    for one in facts["recordings"]:
        own: dict[str, Any] = {}
        for field in one["arrays"]:
            start = ends[field]
            ends[field] += one["length"]
            own[field] = arrays[field][start : ends[field]]
        form = forms.setdefault(str(one["form"]), TextForm.from_dict(one["form"]))
        file = None if one["file"] is None else Path(one["file"])
        notes = tuple(one["notes"])
        own |= {"part": one["part"], "file": file, "form": form, "notes": notes}
        made.append(Recording(one["name"], one["group"], **own))
    return made
