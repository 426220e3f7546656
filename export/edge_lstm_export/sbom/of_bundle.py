"""The bill of a bundle: its members, where the model is from, and the packages that made it."""

from __future__ import annotations

import os
from pathlib import Path

from edge_lstm_runtime import Bundle, read_bundle

from .document import Json, document, hashes, package, properties

DATA = (".npz", ".json")  # the other members are models


def bill(path: str | os.PathLike[str]) -> Json:
    """Raises BundleError."""
    bundle = read_bundle(path)
    versions = bundle.manifest.get("versions", {})
    made_with = [_made_with(name, version) for name, version in sorted(versions.items())]
    return document(bundle.digest, _subject(bundle, Path(path)), [*_members(bundle), *made_with])


def _subject(bundle: Bundle, path: Path) -> Json:
    spec = bundle.spec
    provenance = bundle.manifest.get("provenance", {})
    parameters: Json = {
        "task": spec.answer.task,
        "architectureFamily": "recurrent neural network",
        "modelArchitecture": spec.network.title,
        "inputs": [{"format": ", ".join(spec.inputs.names)}],
        "outputs": [{"format": ", ".join(spec.answer.names)}],
    }
    if "data_sha256" in provenance:
        contents = {"properties": properties({"data_sha256": provenance["data_sha256"]})}
        parameters["datasets"] = [
            {"type": "dataset", "name": "training data", "contents": contents}
        ]
    return {
        "type": "machine-learning-model",
        "bom-ref": "bundle",
        "name": bundle.name or path.name,
        **({} if bundle.version is None else {"version": str(bundle.version)}),
        "hashes": hashes(bundle.digest),
        "modelCard": {"modelParameters": parameters},
        "properties": properties({f"provenance:{k}": v for k, v in sorted(provenance.items())}),
    }


def _members(bundle: Bundle) -> list[Json]:
    return [
        {
            "type": "data" if name.endswith(DATA) else "machine-learning-model",
            "bom-ref": f"member:{name}",
            "name": name,
            "hashes": hashes(entry["sha256"]),
            "properties": properties({"bytes": str(entry["bytes"])}),
        }
        for name, entry in sorted(bundle.manifest["members"].items())
    ]


def _made_with(name: str, version: str) -> Json:
    """A package that made the bundle and is not in it."""
    if " " not in name:
        return package(name, version, scope="excluded")
    return {
        "type": "application",
        "bom-ref": f"tool:{name}",
        "name": name,
        "version": version,
        "scope": "excluded",
    }
