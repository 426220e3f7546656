"""The same content is the same bytes. A bundle that is cut, altered or foreign is refused."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_lstm_runtime import (
    Bundle,
    BundleError,
    ModelSpec,
    NewerFormatError,
    load,
    read_bundle,
    write_bundle,
)
from edge_lstm_runtime.digest import sha256
from edge_lstm_runtime.model import bundle as module
from edge_lstm_runtime.model.bundle import FORMAT
from helpers.broken_bundles import SMALL, packed, refused, rewritten, unpacked
from helpers.bundles import make_bundle, members_of
from helpers.commands import environment
from helpers.specs import make_spec
from helpers.tolerances import assert_close
from helpers.weights import random_weights

# --- what comes back ---


def test_round_trip(tmp_path: Path) -> None:
    spec = make_spec(task="forecast", missing="mask", layers=2, residual=True)
    weights = random_weights(spec)
    members = {**members_of(spec, weights), "notes.txt": b"text", "empty.bin": b""}
    facts = {"accuracy": {}, "notes": ["ä", "\u2028"], "versions": {"numpy": "2"}}
    written = write_bundle(tmp_path / "a.edge", spec, weights, members, **facts)
    read = read_bundle(tmp_path / "a.edge")
    for bundle in (
        written,
        read,
        load(tmp_path / "a.edge").bundle,
        read_bundle(str(tmp_path / "a.edge")),
    ):
        assert bundle.spec == spec
        assert set(bundle.members) == {*members, "weights.npz"}
        assert all(bundle.member(name) == content for name, content in members.items())
        for name, array in weights.items():
            assert_close(bundle.weights[name], array, "exact", name)
            assert bundle.weights[name].dtype == np.float32
        assert bundle.manifest["format"] == FORMAT
        assert {k: bundle.manifest[k] for k in facts} == facts
        assert bundle.golden[0].shape == (40, 3)
        assert bundle.golden[1].shape == (40, 8)


def test_facts_can_not_replace_what_the_format_owns(tmp_path: Path) -> None:
    bundle = write_bundle(
        tmp_path / "a.edge",
        SMALL,
        random_weights(SMALL),
        members_of(SMALL, random_weights(SMALL)),
        format=99,
    )
    assert bundle.manifest["format"] == FORMAT


def test_weights_in_any_memory_order_are_the_same_bytes(tmp_path: Path) -> None:
    weights = random_weights(make_spec())
    members = members_of(make_spec(), weights)
    write_bundle(tmp_path / "a.edge", make_spec(), weights, members)
    fortran = {name: np.asfortranarray(weights[name]) for name in reversed(weights)}
    write_bundle(tmp_path / "b.edge", make_spec(), fortran, dict(reversed(members.items())))
    assert (tmp_path / "a.edge").read_bytes() == (tmp_path / "b.edge").read_bytes()


def test_same_inputs_same_bytes_in_any_process(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from helpers.bundles import make_bundle\n"
        "make_bundle(Path(sys.argv[1]), versions={'b': '1', 'a': '2'})"
    )
    digests = set()
    for seed in ("1", "12345"):
        path = tmp_path / f"{seed}.edge"
        environ = {**environment(), "PYTHONHASHSEED": seed}
        subprocess.run(
            [sys.executable, "-c", script, str(path)], env=environ, check=True, timeout=60
        )
        digests.add(sha256(path.read_bytes()))
    make_bundle(tmp_path / "here.edge", versions={"a": "2", "b": "1"})
    digests.add(sha256((tmp_path / "here.edge").read_bytes()))
    assert len(digests) == 1


def test_a_member_that_is_not_there_is_named(small: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.edge").write_bytes(small)
    with pytest.raises(
        BundleError, match=r"has no model\.onnx; it holds golden\.npz, weights\.npz"
    ):
        read_bundle(tmp_path / "a.edge").member("model.onnx")


# --- damage ---


def test_every_altered_byte_is_found(small: bytes, tmp_path: Path) -> None:
    survivors = []
    masks = [1, 2, 4, 8, 16, 32, 64, 128, 255]
    path = tmp_path / "altered.edge"
    for position in range(len(small)):
        altered = bytearray(small)
        altered[position] ^= masks[position % len(masks)]
        path.write_bytes(altered)
        try:
            read_bundle(path)
        except BundleError:
            continue
        survivors.append(position)
    assert not survivors, (
        f"{len(survivors)} altered bytes of {len(small)} were not found, the first at "
        f"{survivors[0]}"
    )


@pytest.mark.slow
def test_every_value_of_every_structural_byte_is_found(small: bytes) -> None:
    # The zip's own fields (methods, flags, sizes, offsets) take the reader down paths that altered
    # content does not.
    start = small.index(b"PK\x01\x02")
    with zipfile.ZipFile(io.BytesIO(small)) as archive:
        headers = [
            p
            for info in archive.infolist()
            for p in range(info.header_offset, info.header_offset + 30 + len(info.filename))
        ]
    for position in [*headers, *range(start, len(small))]:
        altered = bytearray(small)
        for value in range(256):
            if value == small[position]:
                continue
            altered[position] = value
            with pytest.raises(BundleError):
                module.unpack(bytes(altered), "altered")


def test_every_truncation_is_found(small: bytes, tmp_path: Path) -> None:
    for length in [*range(0, len(small), 7), *range(len(small) - 100, len(small))]:
        refused(tmp_path / "short.edge", small[:length])


def test_appended_and_prepended_bytes_are_found(small: bytes, tmp_path: Path) -> None:
    for data in (
        small + b"\0",
        small + b"0" * 64,
        b"\0" + small,
        b"#!/bin/sh\n" + small,
        small + small,
    ):
        refused(tmp_path / "longer.edge", data)


@pytest.mark.parametrize(
    "data",
    [b"", b"PK", b"not a bundle at all" * 50, b"\x7fELF" + bytes(500), b"PK\x05\x06" + bytes(18)],
)
def test_some_other_file(data: bytes, tmp_path: Path) -> None:
    refused(tmp_path / "other.edge", data, "is not a whole bundle")


def test_some_other_zip(tmp_path: Path) -> None:
    refused(tmp_path / "other.zip", packed({"readme.txt": b"hello"}), "is not a whole bundle")
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(BundleError, match="is not a whole bundle"):
        read_bundle(tmp_path / "other.npz")


def test_no_file_and_a_directory(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"can't read .*none\.edge: No such file"):
        read_bundle(tmp_path / "none.edge")
    with pytest.raises(BundleError, match="can't read"):
        read_bundle(tmp_path)


# --- versions and members ---


@pytest.mark.parametrize("version", [FORMAT + 1, 99])
def test_a_newer_format_names_both_versions(small: bytes, tmp_path: Path, version: int) -> None:
    def newer(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
        manifest.clear()  # nothing else of a later format may be relied on
        manifest["format"] = version
        members["weights.bin"] = b"laid out in another way"

    error = refused(
        tmp_path / "newer.edge",
        rewritten(small, newer),
        f"bundle format {version} .*reads up to {FORMAT}; install a newer edge-lstm here, or "
        "export",
    )
    assert isinstance(error, NewerFormatError)


def test_a_newer_format_may_close_in_another_way(small: bytes, tmp_path: Path) -> None:
    members = {**unpacked(small), "manifest.json": b'{"format": 3}'}
    buffer = io.BytesIO()
    with zipfile.ZipFile(
        buffer, "w", zipfile.ZIP_DEFLATED
    ) as archive:  # no checksum in the comment, and compressed members
        for name, content in members.items():
            archive.writestr(
                zipfile.ZipInfo(name),
                content,
                zipfile.ZIP_STORED if name == "manifest.json" else zipfile.ZIP_DEFLATED,
            )
    assert isinstance(refused(tmp_path / "newer.edge", buffer.getvalue()), NewerFormatError)


@pytest.mark.parametrize("version", [0, -1, "1", None, 1.5, [1], 2.0, 1.0, 3.0, True])
def test_a_format_that_never_was(small: bytes, tmp_path: Path, version: Any) -> None:
    data = rewritten(small, lambda manifest, _: manifest.update(format=version))
    assert not isinstance(
        refused(tmp_path / "odd.edge", data, "has bundle format"), NewerFormatError
    )


@pytest.mark.parametrize("name", ["weights.npz", "golden.npz"])
def test_a_missing_member(small: bytes, tmp_path: Path, name: str) -> None:
    refused(
        tmp_path / "a.edge",
        rewritten(small, lambda _, members: members.pop(name) and None),
        f"lacks {name}",
    )

    def unlisted(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
        del members[name], manifest["members"][name]

    refused(tmp_path / "b.edge", rewritten(small, unlisted), f"lacks {name}")


def test_no_manifest(small: bytes, tmp_path: Path) -> None:
    members = unpacked(small)
    del members["manifest.json"]
    refused(tmp_path / "a.edge", packed(members), "is not a whole bundle")


def test_an_extra_member(small: bytes, tmp_path: Path) -> None:
    def extra(_: dict[str, Any], members: dict[str, bytes]) -> None:
        members["payload.sh"] = b"rm -rf"

    refused(tmp_path / "a.edge", rewritten(small, extra), r"does not list: \['payload.sh'\]")


@pytest.mark.filterwarnings(
    "ignore:Duplicate name:UserWarning"
)  # zipfile's own, while the bad file is made
def test_a_member_twice(small: bytes, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in [*unpacked(small).items(), ("golden.npz", b"another")]:
            archive.writestr(zipfile.ZipInfo(name), content)
        archive.comment = b"0" * 64
    data = buffer.getvalue()[:-64]
    refused(tmp_path / "a.edge", data + sha256(data).encode(), "twice|sha256")


def test_a_member_with_another_checksum(small: bytes, tmp_path: Path) -> None:
    members = unpacked(small)
    members["golden.npz"] = members["golden.npz"][:-1] + b"!"
    refused(tmp_path / "a.edge", packed(members), r"golden\.npz does not have the size and sha256")


# --- what write_bundle refuses ---


def test_what_can_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    weights = random_weights(SMALL)
    members = members_of(SMALL, weights)
    path = tmp_path / "a.edge"
    make_bundle(path, SMALL, steps=2)
    old = path.read_bytes()
    cases: list[tuple[ModelSpec, Any, dict[str, bytes]]] = [
        (SMALL, weights, {}),
        (SMALL, {**weights, "head.b": np.zeros(5, np.float32)}, members),
        (make_spec(), weights, members),
        (SMALL, weights, {**members, "golden.npz": b"nothing"}),
        (SMALL, weights, {**members, "manifest.json": b"{}"}),
    ]
    for spec, arrays_, extra in cases:
        with pytest.raises(BundleError):
            write_bundle(path, spec, arrays_, extra)
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["a.edge"]


@pytest.mark.parametrize("name", ["folder/that/is/not/there.edge", "file.txt/a.edge"])
def test_nowhere_to_write(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.txt").write_text("a file")
    with pytest.raises(
        BundleError, match=r"can't write .*\.edge: .*; what was there before is unchanged"
    ):
        make_bundle(tmp_path / name, SMALL)


def test_a_directory_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "a.edge").mkdir()
    with pytest.raises(BundleError, match="can't write"):
        make_bundle(tmp_path / "a.edge", SMALL)
    assert [p.name for p in tmp_path.iterdir()] == ["a.edge"]


def test_member_arrays(tmp_path: Path) -> None:
    bundle: Bundle = make_bundle(tmp_path / "a.edge", SMALL, steps=3)
    assert set(bundle.arrays("golden.npz")) == {"x", "y"}
    with pytest.raises(BundleError, match="has no calibration"):
        bundle.arrays("calibration.npz")
