"""What both bills have in common. The same file gives the same bill: no date, no random number."""

from __future__ import annotations

import re
import uuid
from typing import Any
from urllib.parse import quote

from edge_lstm_runtime.version import __version__

Json = dict[str, Any]


def document(digest: str, subject: Json, components: list[Json]) -> Json:
    """digest: the sha256 of the file that the bill is of. subject: the file as a component. It
    contains or needs all components."""
    refs = [component["bom-ref"] for component in components]
    tool = {"type": "application", "name": "edge-lstm", "version": __version__}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}",
        "version": 1,
        "metadata": {"tools": {"components": [tool]}, "component": subject},
        "components": components,
        "dependencies": [
            {"ref": subject["bom-ref"], "dependsOn": refs},
            *({"ref": ref, "dependsOn": []} for ref in refs),
        ],
    }


def hashes(digest: str) -> list[Json]:
    return [{"alg": "SHA-256", "content": digest}]


def package(name: str, version: str = "", **facts: Any) -> Json:
    """A package of PyPI, or edge-lstm, which no index has. version: "" if any that fits will do."""
    plain = re.sub(r"[-_.]+", "-", name).lower()
    kind = "generic" if plain.startswith("edge-lstm") else "pypi"
    purl = f"pkg:{kind}/{plain}" + (f"@{quote(version, safe='')}" if version else "")
    known = {"version": version} if version else {}
    return {"type": "library", "bom-ref": purl, "name": name, **known, "purl": purl, **facts}


def properties(values: dict[str, str]) -> list[Json]:
    return [{"name": f"edge-lstm:{key}", "value": value} for key, value in values.items()]
