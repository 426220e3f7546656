"""The bill of materials in a wheel: valid, small, and what `edge-lstm sbom` says of the wheel."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

import edge_lstm_runtime
import hatch_build
from edge_lstm_export.sbom import of_wheel
from helpers.bills import valid
from helpers.paths import ROOT


def metadata(folder: str) -> ProjectMetadata[Any]:
    return ProjectMetadata(str(ROOT / folder), PluginManager())


def listed(bill: dict[str, Any]) -> dict[str, Any]:
    return {component["bom-ref"]: component for component in bill["components"]}


def test_the_runtimes(tmp_path: Path) -> None:
    library = tmp_path / "library.so"
    library.write_bytes(b"ELF")
    made = hatch_build.bill(metadata("deploy"), library)
    assert hatch_build.bill(metadata("deploy"), library) == made
    bill = json.loads(made)
    valid(bill)
    subject = bill["metadata"]["component"]
    assert subject["purl"] == "pkg:generic/edge-lstm-runtime"
    assert subject["version"] == edge_lstm_runtime.__version__
    assert subject["licenses"] == [{"expression": "Apache-2.0"}]
    found = listed(bill)
    assert {ref: c.get("scope") for ref, c in found.items()} == {
        "pkg:pypi/numpy": "required",
        "pkg:pypi/paho-mqtt": "optional",
        "pkg:pypi/rknn-toolkit-lite2": "optional",
        "file:edge_lstm_runtime/native/_kernel.abi3.so": None,
    }
    file = found["file:edge_lstm_runtime/native/_kernel.abi3.so"]
    assert file["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(b"ELF").hexdigest()}]


def test_another_library_is_another_bill(tmp_path: Path) -> None:
    serials = {json.loads(hatch_build.bill(metadata("deploy"), None))["serialNumber"]}
    for content in (b"one", b"two"):
        (tmp_path / "library.so").write_bytes(content)
        made = hatch_build.bill(metadata("deploy"), tmp_path / "library.so")
        serials.add(json.loads(made)["serialNumber"])
    assert len(serials) == 3


def test_the_desktops_needs_this_runtime() -> None:
    bill = json.loads(hatch_build.bill(metadata("."), None))
    valid(bill)
    found = listed(bill)
    assert "pkg:generic/edge-lstm" not in found, "an extra that is made of others is no package"
    runtime = found["pkg:generic/edge-lstm-runtime"]
    assert runtime["scope"] == "required"
    (requires,) = runtime["properties"]
    assert requires["value"] == f"=={edge_lstm_runtime.__version__}"
    assert found["pkg:pypi/onnx"]["scope"] == "optional"


@pytest.mark.slow
def test_each_wheel_has_one(dist: Path) -> None:
    """It says what `edge-lstm sbom` reads from the finished wheel's METADATA and files."""
    for path in dist.glob("*.whl"):
        name, version, *_ = path.name.split("-")
        place = f"{name}-{version}.dist-info/sboms/{name.replace('_', '-')}.cdx.json"
        with zipfile.ZipFile(path) as wheel:
            content = wheel.read(place)
            size = wheel.getinfo(place).compress_size
        assert size <= 2000, path.name
        bill = json.loads(content)
        valid(bill)
        assert listed(bill) == listed(of_wheel.bill(path)), path.name
