"""The bill of a wheel: the packages that it needs, and the compiled files in it."""

from __future__ import annotations

import email
import os
import re
import zipfile
from email.message import Message
from pathlib import Path

from edge_lstm_runtime.digest import sha256
from edge_lstm_runtime.errors import DataError

from .document import Json, document, hashes, package, properties

COMPILED = (".so", ".pyd", ".dylib")
_NEEDS = re.compile(r"([A-Za-z0-9._-]+)\s*(\[[^]]*\])?\s*([^;]*?)\s*(?:;\s*(.*))?")


def bill(path: str | os.PathLike[str]) -> Json:
    """Raises DataError for a file that is no wheel."""
    try:
        data = Path(path).read_bytes()
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            (metadata,) = (
                n for n in names if n.endswith(".dist-info/METADATA") and n.count("/") == 1
            )
            facts = email.message_from_bytes(archive.read(metadata))
            if not (facts["Name"] and facts["Version"]):
                raise ValueError("its METADATA has no name and version")
            compiled = [_file(n, archive.read(n)) for n in names if n.endswith(COMPILED)]
    except OSError as e:
        raise DataError(f"can't read {os.fspath(path)}: {e.strerror or e}") from e
    except (ValueError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as e:
        raise DataError(f"{os.fspath(path)} is no wheel: {e}; make one by `make wheels`") from e
    digest = sha256(data)
    subject = package(facts["Name"], facts["Version"], hashes=hashes(digest))
    if licence := facts["License-Expression"]:
        subject["licenses"] = [{"expression": licence}]
    subject["properties"] = properties({"file": Path(path).name})
    return document(digest, subject, [*_needed(facts), *compiled])


def _needed(facts: Message) -> list[Json]:
    """The packages of Requires-Dist, one each. Those of extras are optional."""
    found: dict[str, Json] = {}
    for line in facts.get_all("Requires-Dist") or ():
        match = _NEEDS.fullmatch(line)
        if match is None:
            raise DataError(f"the wheel's METADATA has the requirement {line!r}, which is none")
        name, _, versions, condition = match.groups()
        if name.lower() == str(facts["Name"]).lower():  # an extra that is made of others
            continue
        scope = "optional" if "extra ==" in (condition or "") else "required"
        made = package(name, scope=scope, properties=properties({"requires": versions or "any"}))
        if scope == "required" or made["bom-ref"] not in found:
            found[made["bom-ref"]] = made
    return list(found.values())


def _file(name: str, content: bytes) -> Json:
    digest = sha256(content)
    return {"type": "file", "bom-ref": f"file:{name}", "name": name, "hashes": hashes(digest)}
