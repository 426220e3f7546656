"""A hostile or malformed bundle is refused, quickly and with little memory."""

from __future__ import annotations

import io
import json
import os
import re
import threading
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_lstm_runtime import BundleError, read_bundle
from edge_lstm_runtime.digest import sha256
from edge_lstm_runtime.model import bundle
from edge_lstm_runtime.model.npz import read_npz, write_npz
from helpers.broken_bundles import packed, refused, rewritten, unpacked
from helpers.bundles import artifact_entry, make_bundle


def bounded(path: Path, data: bytes, match: str) -> None:
    """Refused within a second and a few megabytes."""
    path.write_bytes(data)
    tracemalloc.start()
    start = time.perf_counter()
    try:
        with pytest.raises(BundleError, match=match):
            read_bundle(path)
        elapsed = time.perf_counter() - start
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert elapsed < 1.0
    assert peak < 4 * len(data) + (8 << 20), (
        f"{peak >> 20} MB were taken for a file of {len(data) >> 10} kB"
    )


def test_a_huge_declared_member(small: bytes, tmp_path: Path) -> None:
    data = bytearray(small)
    with zipfile.ZipFile(io.BytesIO(small)) as archive:
        position = small.index(b"PK\x01\x02", archive.start_dir)
    data[position + 24 : position + 28] = (3 << 30).to_bytes(4, "little")
    bounded(
        tmp_path / "a.edge",
        bytes(data),
        r"declares members of \d+ bytes; a bundle has at most 268435456",
    )


@pytest.mark.parametrize("name", ["manifest.json", "golden.npz", "more.bin"])
@pytest.mark.parametrize("lie", [False, True], ids=["declared", "declared small"])
def test_a_compressed_bomb(small: bytes, tmp_path: Path, name: str, lie: bool) -> None:
    # Small on disk, and also in the directory if that lies. Only the unpacking would show its size.
    bomb = bytes(64 << 20)
    data = bytearray(packed({**unpacked(small), name: bomb}, method=zipfile.ZIP_DEFLATED)[:-64])
    if lie:
        with zipfile.ZipFile(io.BytesIO(bytes(data) + b"0" * 64)) as archive:
            position = archive.start_dir
        while data[position + 46 : position + 46 + len(name)] != name.encode():
            position = data.index(b"PK\x01\x02", position + 4)
        data[position + 24 : position + 28] = (100).to_bytes(4, "little")
    bounded(
        tmp_path / "a.edge",
        bytes(data) + sha256(bytes(data)).encode(),
        "compressed|is not a whole bundle",
    )


def test_a_bomb_inside_an_npz(small: bytes, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=np.zeros((8 << 20, 1)), y=np.zeros((2, 2)))
    data = rewritten(small, lambda _, members: members.update({"golden.npz": buffer.getvalue()}))
    bounded(tmp_path / "a.edge", data, r"golden\.npz.*compressed")


@pytest.mark.parametrize(
    "shape",
    [
        "(1000000000000000,)",
        "(100000000, 1)",
        "(-1, 1)",
        "(18446744073709551616,)",
        "(2.5,)",
        "'x'",
    ],
)
def test_an_npz_that_promises_more_than_it_holds(small: bytes, tmp_path: Path, shape: str) -> None:
    header = (
        f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117)
        + b"\n"
    )
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x.npy", array)
        archive.writestr("y.npy", array)
    bounded(
        tmp_path / "a.edge",
        rewritten(small, lambda _, m: m.update({"golden.npz": buffer.getvalue()})),
        r"golden\.npz",
    )


def test_a_file_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.edge"
    with path.open("wb") as file:
        file.truncate(2**28 + 1)  # sparse: takes no room
    with pytest.raises(BundleError, match="has 268435457 bytes"):
        read_bundle(path)


@pytest.mark.parametrize("name", ["a" * 300, "a\0b"])
def test_a_name_that_no_file_has(name: str) -> None:
    with pytest.raises(BundleError, match=r"^can't read a.*(too long|null byte)"):
        read_bundle(name)


def test_a_device_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MAX_BYTES", 1 << 20)
    with pytest.raises(BundleError, match="is not a whole bundle"):
        read_bundle("/dev/zero")


def test_a_pipe(small: bytes, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(small,))
    writer.start()
    assert "golden.npz" in read_bundle(pipe).members
    writer.join()


def test_pickled_arrays_are_refused(small: bytes, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, x=np.array([{"a": 1}, print], dtype=object), y=np.zeros((2, 2)))
    data = rewritten(small, lambda _, members: members.update({"golden.npz": buffer.getvalue()}))
    refused(tmp_path / "a.edge", data, r"golden\.npz is not a readable \.npz file")


def test_a_bare_pickle_is_refused(small: bytes, tmp_path: Path) -> None:
    data = rewritten(
        small,
        lambda _, members: members.update(
            {"weights.npz": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00."}
        ),
    )
    refused(tmp_path / "a.edge", data, r"weights\.npz is not a readable \.npz file")


def arrays(**values: Any) -> bytes:
    return write_npz({name: np.asarray(value) for name, value in values.items()})


GOLDEN = {
    "no x": arrays(y=np.zeros((2, 2))),
    "no y": arrays(x=np.zeros((2, 1))),
    "no steps": arrays(x=np.zeros((0, 1)), y=np.zeros((0, 2))),
    "float32": arrays(x=np.zeros((2, 1), np.float32), y=np.zeros((2, 2))),
    "channels": arrays(x=np.zeros((2, 3)), y=np.zeros((2, 2))),
    "outputs": arrays(x=np.zeros((2, 1)), y=np.zeros((2, 3))),
    "lengths": arrays(x=np.zeros((2, 1)), y=np.zeros((3, 2))),
    "one-dimensional": arrays(x=np.zeros(2), y=np.zeros((2, 2))),
    "scalar": arrays(x=0.0, y=0.0),
    "not finite": arrays(x=np.zeros((2, 1)), y=np.full((2, 2), np.nan)),
}


@pytest.mark.parametrize("content", GOLDEN.values(), ids=GOLDEN)
def test_malformed_golden_samples(small: bytes, tmp_path: Path, content: bytes) -> None:
    data = rewritten(small, lambda _, members: members.update({"golden.npz": content}))
    refused(tmp_path / "a.edge", data, r"golden\.npz")


WEIGHTS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "shape": (
        lambda w: w.update({"head.W": np.zeros((2, 1), np.float32)}),
        r"head\.W is float32\(2, 1\), expected float32\(1, 2\)",
    ),
    "float64": (lambda w: w.update({"head.W": np.zeros((1, 2))}), r"head\.W is float64"),
    "NaN": (lambda w: w.update({"head.W": np.full((1, 2), np.nan, np.float32)}), "not finite"),
    "missing": (lambda w: w.pop("head.W"), "weights are"),
    "extra": (lambda w: w.update({"more": np.zeros(1, np.float32)}), "weights are"),
    "big-endian": (lambda w: w.update({"head.W": np.zeros((1, 2), ">f4")}), "head.W"),
}


@pytest.mark.parametrize(("change", "match"), WEIGHTS.values(), ids=WEIGHTS)
def test_wrong_weights(
    small: bytes, tmp_path: Path, change: Callable[[dict[str, Any]], Any], match: str
) -> None:
    def apply(_: dict[str, Any], members: dict[str, bytes]) -> None:
        weights = read_npz(members["weights.npz"], "weights.npz")
        change(weights)
        buffer = io.BytesIO()
        np.savez(buffer, **weights)  # type: ignore[arg-type]
        members["weights.npz"] = buffer.getvalue()

    refused(tmp_path / "a.edge", rewritten(small, apply), match)


MANIFESTS: dict[str, Callable[[dict[str, Any], dict[str, bytes]], Any]] = {
    "a list": lambda *_: [1, 2],
    "a number": lambda *_: 1,
    "a text": lambda *_: "manifest",
    "no format": lambda m, _: m.pop("format") and None,
    "no members": lambda m, _: m.pop("members") and None,
    "members as a list": lambda m, _: m.update(members=sorted(m["members"])),
    "members as lists": lambda m, _: m.update(members=[["golden.npz"]]),
    "members as null": lambda m, _: m.update(members=None),
    "a member's entry as text": lambda m, _: m["members"].update({"golden.npz": "fine"}),
    "no spec": lambda m, _: m.pop("spec") and None,
    "spec as a list": lambda m, _: m.update(spec=["task", "classify"]),
    "spec as null": lambda m, _: m.update(spec=None),
    "spec as a number": lambda m, _: m.update(spec=3),
    "spec with a text for a number": lambda m, _: m["spec"]["network"][0].update(units="1"),
    "spec with a float for a whole number": lambda m, _: m["spec"]["network"][0].update(units=1.0),
    "spec with a number beyond float": lambda m, _: m["spec"]["inputs"].update(mean=[10**400]),
    "artifacts as a list": lambda m, _: m.update(artifacts=["golden.npz"]),
    "artifacts as null": lambda m, _: m.update(artifacts=None),
    "an artifact that is no member": lambda m, _: m.update(artifacts={"rk.rknn": artifact_entry()}),
    "an artifact without a target":
        lambda m, _: m.update(artifacts={
            "golden.npz": {"tolerance": artifact_entry()["tolerance"]}
        }),
    "an artifact without a tolerance":
        lambda m, _: m.update(artifacts={"golden.npz": {"target": "rk3588"}}),
    "a tolerance of an unknown metric":
        lambda m, _: m.update(artifacts={"golden.npz": artifact_entry(metric="steps")}),
    "a tolerance that is text":
        lambda m, _: m.update(artifacts={
            "golden.npz": artifact_entry(limit="small"),  # type: ignore[arg-type]
        }),
    "a tolerance that is NaN":
        lambda m, _: m.update(artifacts={"golden.npz": artifact_entry(limit=float("nan"))}),
    "accuracy as a list": lambda m, _: m.update(accuracy=[1]),
    "accuracy without figures": lambda m, _: m.update(accuracy={"numpy": {}}),
    "accuracy as text":
        lambda m, _: m.update(accuracy={"numpy": {"max_abs": "a", "nrmse": "b", "steps": "c"}}),
    "versions as a list": lambda m, _: m.update(versions=["1"]),
    "float32 without a tolerance": lambda m, _: m.update(float32={}),
    "a float32 tolerance below 0":
        lambda m, _: m.update(float32={"tolerance": artifact_entry(limit=-1.0)["tolerance"]}),
    "left out as a list": lambda m, _: m.update(left_out=["model.onnx"]),
    "left out for a number": lambda m, _: m.update(left_out={"model.onnx": 3}),
}  # fmt: skip


@pytest.mark.parametrize("change", MANIFESTS.values(), ids=MANIFESTS)
def test_malformed_manifest(
    small: bytes, tmp_path: Path, change: Callable[[dict[str, Any], dict[str, bytes]], Any]
) -> None:
    refused(tmp_path / "a.edge", rewritten(small, change))


ARTIFACTS: dict[str, tuple[dict[str, Any], str]] = {
    "no recipe": ({"recipe": None}, r"lacks recipe\.io"),
    "a recipe of text": ({"recipe": "cell"}, r"lacks recipe\.io"),
    "nothing beside it": ({"beside": ["a.npz"]}, "has no valid beside"),
    "a number beside it": ({"beside": 3}, "has no valid beside"),
    "no io": ({"recipe": {}}, r"lacks recipe\.io"),
    "io as a list": ({"recipe": {"io": ["cell"]}}, r"lacks recipe\.io"),
    "no form": ({"recipe": {"io": {"steps": 2}}}, r"has no valid recipe\.io\.form"),
    "a form that is a number": ({"recipe": {"io": {"form": 1}}}, r"has no valid recipe\.io\.form"),
    "no steps at once":
        ({"recipe": {"io": {"form": "lstm", "steps": 0}}}, r"has no valid recipe\.io\.steps"),
    "no target": ({"target": None}, "has no valid target"),
    "no tolerance": ({"tolerance": None}, "has no valid tolerance"),
    "a limit below 0":
        ({"tolerance": {"metric": "nrmse", "limit": -1, "reason": "x"}}, "has no valid tolerance"),
    "a limit beyond float":
        ({"tolerance": {"metric": "nrmse", "limit": 10**400, "reason": "x"}},
         "has no valid tolerance"),
    "a limit that is true":
        ({"tolerance": {"metric": "nrmse", "limit": True, "reason": "x"}},
         "has no valid tolerance"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "match"), ARTIFACTS.values(), ids=ARTIFACTS)
def test_an_artifact_with_a_malformed_entry_is_named(
    change: dict[str, Any], match: str, small: bytes, tmp_path: Path
) -> None:
    def apply(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
        members["a.rknn"] = b"RKNN"
        manifest["members"]["a.rknn"] = {}
        manifest["artifacts"] = {"a.rknn": artifact_entry() | change}

    error = refused(
        tmp_path / "a.edge",
        rewritten(small, apply),
        f"the manifest's entry for the artifact 'a.rknn' {match}$",
    )
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("key", "metric", "within", "beyond"),
    [
        ("float32", "max_abs", 4.8e-4, 5e-4),  # 2^-11 of outputs up to 1
        ("float32", "max_abs", 4.8e-4, 1e300),
        ("native_int8", "nrmse", 0.15, 0.16),
        ("artifacts", "nrmse", 0.15, 0.16),
        ("artifacts", "max_abs", 0.15, 1e300),
    ],
)
def test_a_tolerance_that_no_check_could_fail_is_refused(
    key: str, metric: str, within: float, beyond: float, small: bytes, tmp_path: Path
) -> None:
    def limited(limit: float) -> bytes:
        def apply(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
            entry = artifact_entry(metric=metric, limit=limit)
            if key == "artifacts":
                members["a.rknn"] = b"RKNN"
                manifest["members"]["a.rknn"] = {}
                entry = {"a.rknn": entry}
            manifest[key] = entry

        return rewritten(small, apply)

    (tmp_path / "a.edge").write_bytes(limited(within))
    read_bundle(tmp_path / "a.edge")
    error = refused(
        tmp_path / "a.edge",
        limited(beyond),
        rf"is {metric} {re.escape(f'{beyond:.2g}')}, and at most ",
    )
    assert "\n" not in str(error)


def test_a_tolerance_for_float32_is_of_the_largest_error(small: bytes, tmp_path: Path) -> None:
    entry = artifact_entry(metric="nrmse", limit=1e-6)
    changed = rewritten(small, lambda m, _: m.update(float32=entry))
    refused(tmp_path / "a.edge", changed, r"tolerance for float32 is of nrmse, expected max_abs$")


@pytest.mark.parametrize("number", ["Infinity", "-Infinity", "NaN", "1e999", "-1e999"])
@pytest.mark.parametrize("key", ["float32", "native_int8", "notes"])
def test_a_number_that_is_not_finite_is_refused_anywhere(
    number: str, key: str, small: bytes, tmp_path: Path
) -> None:
    """JSON has none. A limit of infinity would let every check pass."""
    members = unpacked(small)
    manifest = json.loads(members["manifest.json"])
    manifest[key] = {"tolerance": {"metric": "max_abs", "limit": 0.0003, "reason": "x"}}
    text = json.dumps(manifest)
    (tmp_path / "a.edge").write_bytes(packed({**members, "manifest.json": text.encode()}))
    read_bundle(tmp_path / "a.edge")
    wrong = text.replace('"limit": 0.0003', f'"limit": {number}')
    refused(
        tmp_path / "a.edge",
        packed({**members, "manifest.json": wrong.encode()}),
        f"has the number {number} in its manifest, which is not finite",
    )


def test_such_a_number_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"can't write .*a\.edge: its manifest is no JSON: "):
        make_bundle(tmp_path / "a.edge", notes=[float("inf")])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("depth", [20, 300, 600, 900, 3000])
@pytest.mark.parametrize("key", ["inputs", "layer", "name", "activation", "type"])
def test_deep_nesting_is_refused(depth: int, key: str, small: bytes, tmp_path: Path) -> None:
    deep = "[" * depth + "]" * depth
    if key == "layer":
        deep = '{"type": "both-ways", "layer": ' * depth + '{"type": "lstm"}' + "}" * depth
    members = unpacked(small)
    manifest = json.loads(members["manifest.json"])
    first = manifest["spec"]["network"][0]
    if key == "layer":
        del first["units"]
        first["type"] = "both-ways"
    first[key] = "HERE"
    text = json.dumps(manifest).replace('"HERE"', deep)
    error = refused(tmp_path / "a.edge", packed({**members, "manifest.json": text.encode()}))
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"\xff\xfe", b'{"format": 1', b"[" * 100_000, b'{"format": NaN}']
)
def test_a_manifest_that_is_no_json(small: bytes, tmp_path: Path, text: bytes) -> None:
    refused(tmp_path / "a.edge", packed({**unpacked(small), "manifest.json": text}))
