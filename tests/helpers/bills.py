"""What a bill of materials must be, by the schema of CycloneDX."""

from __future__ import annotations

import importlib.resources
import json
from typing import Any

import jsonschema
import pytest
from referencing import Registry, Resource


def valid(bill: dict[str, Any]) -> None:
    """By the schema of CycloneDX 1.6, if the package with it is here. Each reference is one."""
    refs = [c["bom-ref"] for c in (bill["metadata"]["component"], *bill["components"])]
    assert len(set(refs)) == len(refs)
    assert {d["ref"] for d in bill["dependencies"]} == set(refs)
    assert set(bill["dependencies"][0]["dependsOn"]) == set(refs[1:])
    package = pytest.importorskip("cyclonedx.schema._res", reason="cyclonedx-python-lib has it")
    folder = importlib.resources.files(package)
    schemas = {
        f"http://cyclonedx.org/schema/{name}.schema.json": json.loads(
            (folder / f"{name}.SNAPSHOT.schema.json").read_text("utf-8")
        )
        for name in ("bom-1.6", "spdx", "jsf-0.82")
    }
    known = Registry().with_resources(
        (name, Resource.from_contents(content)) for name, content in schemas.items()
    )
    schema = schemas["http://cyclonedx.org/schema/bom-1.6.schema.json"]
    validator = jsonschema.Draft7Validator(schema, registry=known)
    validator.validate(bill)
    for wrong in ({"bomFormat": "SPDX"}, {"components": [{"type": "thing", "name": "a"}]}):
        with pytest.raises(jsonschema.ValidationError):
            validator.validate(bill | wrong)
