"""The highest version of each model that ran here, and the refusal of an older one.

FOLDER/NAME.json has a model's name, its highest version and the sha256 of that bundle. It is
written atomically, and one process at a time compares and writes. A damaged file refuses every
bundle of the model: if it counted as no file, an older bundle would pass.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .. import log
from ..errors import BundleError, ConfigError, OlderVersionError
from ..files import atomic_write, failure, one_at_a_time, sealed_json, unsealed_json
from ..model.bundle import Bundle

PathLike = str | os.PathLike[str]


def compare_version(bundle: Bundle, path: PathLike, folder: PathLike, *, older: bool) -> None:
    """Raise OlderVersionError if a higher version of the model was remembered in `folder`.

    path: of the bundle, for the message. older: whether an older version is allowed. It is then
    logged. Raises BundleError for a bundle without name and version, and ConfigError for a file
    that can't be read.
    """
    highest = _highest(version_file(bundle, path, folder))
    if told := _refusal(bundle, path, folder, highest, older=older):
        log.warning("%s: the older version is allowed", told)


def remember_version(bundle: Bundle, path: PathLike, folder: PathLike, *, older: bool) -> None:
    """Remember the version of a bundle that runs now. An older one that is allowed takes the place
    of the higher one.

    Raises as `compare_version`, and ConfigError if the version can't be written.
    """
    file = version_file(bundle, path, folder)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise ConfigError(
            f"the folder {file.parent} can't be made: {e.strerror}; name another one by --remember"
        ) from e
    if _highest(file) == bundle.version:  # also if the folder is read-only by now
        return
    with one_at_a_time(file, ConfigError, wait=True):
        _refusal(bundle, path, folder, _highest(file), older=older)
        values = {"name": bundle.name, "version": bundle.version, "bundle": bundle.digest}
        try:
            with atomic_write(file) as out:
                out.write(sealed_json(values))
        except OSError as e:
            raise ConfigError(
                f"can't remember the version in {file}: {failure(e)}; name another folder by "
                "--remember"
            ) from e


def _refusal(
    bundle: Bundle, path: PathLike, folder: PathLike, highest: int | None, *, older: bool
) -> str:
    """What is older than what, "" if the bundle is not. Raises OlderVersionError unless `older`."""
    if highest is None or bundle.version is None or bundle.version >= highest:
        return ""
    told = (
        f"{os.fspath(path)} is version {bundle.version} of {bundle.name!r}, and version {highest} "
        f"ran here before ({os.fspath(folder)})"
    )
    if not older:
        raise OlderVersionError(
            f"{told}; export it with a higher --version, or allow it by --allow-downgrade"
        )
    return told


def version_file(bundle: Bundle, path: PathLike, folder: PathLike) -> Path:
    """The file with the highest version of a bundle's model. Raises BundleError if it has none."""
    if bundle.version is None:
        raise BundleError(
            f"{os.fspath(path)} has no name and version to remember; export it again with --name "
            "and --version"
        )
    return Path(folder) / f"{bundle.name}.json"


def _highest(file: Path) -> int | None:
    """Raises ConfigError."""
    try:
        values: Any = unsealed_json(file.read_bytes())
        version = values["version"]
        if type(version) is not int:
            raise TypeError(f"its version is {version!r}")
    except FileNotFoundError:
        return None
    except OSError as e:
        raise ConfigError(f"can't read the version in {file}: {e.strerror}") from e
    except (ValueError, KeyError, TypeError, RecursionError) as e:
        raise ConfigError(
            f"{file} is damaged ({e}), so the highest version is not known; delete it if you "
            "trust the bundle to be the newest"
        ) from e
    return version
