"""The bills of materials: valid by CycloneDX's schema, complete, the same each time."""

from __future__ import annotations

import base64
import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from edge_lstm_runtime import read_bundle
from helpers.bills import valid
from helpers.bundles import make_bundle
from helpers.commands import here
from helpers.specs import make_spec

METADATA = """Metadata-Version: 2.4
Name: edge-lstm
Version: 0.1.0
License-Expression: Apache-2.0
Requires-Dist: numpy>=1.24
Requires-Dist: tomli>=2; python_version < "3.11"
Provides-Extra: export
Requires-Dist: edge-lstm[train]; extra == "export"
Requires-Dist: onnx>=1.17; extra == "export"
Requires-Dist: numpy>=1.26; extra == "export"
Requires-Dist: Lightning_Fabric>=2.4; extra == "export"
"""
VERSIONS = {
    "edge-lstm": "0.1.0",
    "torch": "2.13.0+cpu",
    "rknn-toolkit2 compiler": "2.3.2 (c949ad8)",
}


def bill_of(capfd: pytest.CaptureFixture[str], path: Path) -> dict[str, Any]:
    code, out, err = here(capfd, "sbom", path)
    assert (code, err) == (0, "")
    found: dict[str, Any] = json.loads(out)
    assert json.loads(here(capfd, "sbom", path)[1]) == found
    return found


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "a.edge"
    make_bundle(
        path,
        make_spec(),
        form="fused",
        model={"name": "gesture", "version": 4},
        provenance={"trained": "2026-03-01T12:00:00Z", "data_sha256": "ab" * 32},
        versions=VERSIONS,
    )
    return path


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "edge_lstm-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("edge_lstm-0.1.0.dist-info/METADATA", METADATA)
        archive.writestr("edge_lstm_runtime/native/libedge_lstm.so", b"ELF")
        archive.writestr("edge_lstm_runtime/load.py", b"")
    return path


def test_a_bundle(bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bill = bill_of(capfd, bundle)
    subject = bill["metadata"]["component"]
    assert (subject["name"], subject["version"]) == ("gesture", "4")
    digest = hashlib.sha256(bundle.read_bytes()).hexdigest()
    assert subject["hashes"] == [{"alg": "SHA-256", "content": digest}]
    assert {"name": "edge-lstm:provenance:trained", "value": "2026-03-01T12:00:00Z"} in subject[
        "properties"
    ]
    listed = {c["name"]: c["hashes"][0]["content"] for c in bill["components"] if "hashes" in c}
    members = read_bundle(bundle).members
    assert listed == {n: hashlib.sha256(content).hexdigest() for n, content in members.items()}
    kinds = {c["name"]: c["type"] for c in bill["components"]}
    assert kinds["model.onnx"] == "machine-learning-model"
    assert kinds["golden.npz"] == "data"
    purls = {c.get("purl") for c in bill["components"] if c.get("scope") == "excluded"}
    assert purls == {"pkg:generic/edge-lstm@0.1.0", "pkg:pypi/torch@2.13.0%2Bcpu", None}
    valid(bill)


def test_a_bundle_of_an_earlier_version(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make_bundle(tmp_path / "a.edge")
    bill = bill_of(capfd, tmp_path / "a.edge")
    assert bill["metadata"]["component"]["name"] == "a.edge"
    valid(bill)


def test_a_wheel(wheel: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bill = bill_of(capfd, wheel)
    subject = bill["metadata"]["component"]
    assert subject["purl"] == "pkg:generic/edge-lstm@0.1.0"
    assert subject["licenses"] == [{"expression": "Apache-2.0"}]
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert subject["hashes"] == [{"alg": "SHA-256", "content": digest}]
    needed = {
        c["purl"]: (c["scope"], c["properties"][0]["value"])
        for c in bill["components"]
        if c["type"] == "library"
    }
    assert needed == {
        "pkg:pypi/numpy": ("required", ">=1.24"),
        "pkg:pypi/tomli": ("required", ">=2"),
        "pkg:pypi/onnx": ("optional", ">=1.17"),
        "pkg:pypi/lightning-fabric": ("optional", ">=2.4"),
    }
    (compiled,) = (c for c in bill["components"] if c["type"] == "file")
    assert compiled["name"] == "edge_lstm_runtime/native/libedge_lstm.so"
    assert compiled["hashes"][0]["content"] == hashlib.sha256(b"ELF").hexdigest()
    valid(bill)


def test_a_file_is_written_as_a_whole_or_not(
    bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.cdx.json"
    assert here(capfd, "sbom", bundle, "-o", out) == (0, f"bill     {out}\n", "")
    assert json.loads(out.read_text()) == bill_of(capfd, bundle)
    before = bundle.read_bytes()
    for wrong, said in (
        (bundle, "is read, and would be replaced"),
        (tmp_path / "no" / "a.json", "can't write"),
    ):
        code, _, err = here(capfd, "sbom", bundle, "-o", wrong)
        assert code == 2
        assert said in err
        assert len(err.splitlines()) == 1
    assert bundle.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06" + bytes(18), base64.b64decode("UEsDBA==")])
def test_what_is_no_wheel(
    tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.whl"
    path.write_bytes(content)
    code, out, err = here(capfd, "sbom", path)
    assert (code, out) == (2, "")
    assert "a.whl is no wheel: " in err
    assert len(err.splitlines()) == 1
    assert here(capfd, "sbom", tmp_path / "b.whl")[0] == 2
    assert here(capfd, "sbom", tmp_path / "b.edge")[0] == 2
