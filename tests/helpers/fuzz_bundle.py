"""Bundles with wrong bytes: an EdgeLstmError says so, within the memory the file could need.

The input is a list of changes to a real small bundle: to values of its manifest, to bytes of its
members, to bytes of the file. The checksums are made right again afterwards, so that a change
gets as far as its reader.

    python tests/helpers/fuzz_bundle.py FOLDER [options of libFuzzer, such as -seed=1]

FOLDER keeps the inputs that went somewhere new, for the next run.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import atheris
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
with atheris.instrument_imports(include=["edge_lstm_runtime"]):
    import edge_lstm_runtime as rt
    from edge_lstm_runtime.backends.reference import reference
    from edge_lstm_runtime.backends.registry import open_backend
    from edge_lstm_runtime.digest import sha256
    from edge_lstm_runtime.model.bundle import _pack
    from edge_lstm_runtime.model.npz import write_npz
    from edge_lstm_runtime.native import LIBRARY, kernels
    from helpers.specs import make_spec, samples
    from helpers.weights import int8_arrays, random_weights

ODD: list[Any] = [
    0,
    1,
    -1,
    2,
    0.5,
    1e308,
    1e-320,
    float("nan"),
    float("inf"),
    2**31,
    2**63,
    10**30,
    True,
    None,
    "",
    "x",
    "\ud800",
    [],
    {},
    [[]],
]
FLOAT32 = {"metric": "max_abs", "limit": 1e-5, "reason": "measured"}
LENGTHS = [1, 2, 3, 4, 8, 64]
WITH_LIBRARY = LIBRARY.exists() and bool(kernels())


def bases() -> list[dict[str, bytes]]:
    """Members of a bundle of each kind of model, manifest.json among them."""
    found = []
    for spec in (
        make_spec(hidden=3, layers=2, outputs=2),
        make_spec(task="forecast", hidden=2, outputs=2, missing="mask", residual=True),
        make_spec(hidden=2, bidirectional=True),
    ):
        weights = random_weights(spec)
        xs = samples(spec, 3)
        golden = {"x": xs, "y": reference(spec, weights).run(spec.inputs.features(xs)[0])}
        tolerance = {"metric": "nrmse", "limit": 2e-3, "reason": "measured"}
        entry = {
            "kind": "rknn",
            "target": "rk3588",
            "tolerance": tolerance,
            "recipe": {"io": {"form": "lstm", "steps": 2}},
        }
        facts: dict[str, Any] = {"artifacts": {"a.rknn": entry}}
        facts |= {"float32": {"tolerance": FLOAT32}, "left_out": {"model.onnx": "wrong"}}
        members = {"a.rknn": b"model"}
        if spec.whole:
            golden["lengths"] = np.array([3])
        else:
            members["int8.npz"] = write_npz(int8_arrays(spec))
            facts["native_int8"] = {"tolerance": tolerance}
        members["golden.npz"] = write_npz(golden)
        accuracy = {"numpy": {"max_abs": 1e-7, "nrmse": 1e-7, "steps": 3}}
        with tempfile.TemporaryDirectory() as folder:
            bundle = rt.write_bundle(
                Path(folder) / "a",
                spec,
                weights,
                members,
                accuracy=accuracy,
                versions={"numpy": "2"},
                **facts,
            )
        found.append({**bundle.members, "manifest.json": json.dumps(bundle.manifest).encode()})
    return found


def change_value(data: atheris.FuzzedDataProvider, root: Any) -> None:
    """One value somewhere in the JSON is replaced, removed, or moved to another key."""
    place = root
    while isinstance(place, (dict, list)) and place:
        key: Any = (
            data.PickValueInList(sorted(place))
            if isinstance(place, dict)
            else data.ConsumeIntInRange(0, len(place) - 1)
        )
        inner = place[key]
        if isinstance(inner, (dict, list)) and inner and data.ConsumeProbability() < 0.95:
            place = inner
            continue
        way = data.ConsumeIntInRange(0, 9)
        if way == 0:
            del place[key]
        elif way == 1 and isinstance(place, dict):
            place[data.ConsumeUnicode(8)] = place.pop(key)
        elif way == 2 and isinstance(place, list):
            place.append(inner)
        elif way == 3:
            place[key] = data.ConsumeFloat()
        else:
            place[key] = copy.deepcopy(data.PickValueInList(ODD))
        return


def change_bytes(data: atheris.FuzzedDataProvider, content: bytes) -> bytes:
    """A few bytes somewhere are replaced, inserted or left out."""
    at = data.ConsumeIntInRange(0, len(content))
    way = data.ConsumeIntInRange(0, 3)
    length = data.PickValueInList(LENGTHS)
    if way == 0:
        return content[:at] + content[at + length :]
    new = data.ConsumeBytes(length) if way < 3 else content[at // 2 : at // 2 + length]
    return content[:at] + new + content[at + (len(new) if way == 1 else 0) :]


def change_array(data: atheris.FuzzedDataProvider, content: bytes) -> bytes:
    """One array of an .npz file, half of the time its header. The archive around it is right."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        arrays = {name: archive.read(name) for name in archive.namelist()}
    name = data.PickValueInList(sorted(arrays))
    border = data.PickValueInList([0, 10, 80, 128])
    arrays[name] = arrays[name][:border] + change_bytes(data, arrays[name][border:])
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        for name, array in arrays.items():
            archive.writestr(name, array)
    return buffer.getvalue()


def changed_bundle(data: atheris.FuzzedDataProvider, base: dict[str, bytes]) -> bytes:
    members = dict(base)
    if data.ConsumeBool():
        name = data.PickValueInList([n for n in sorted(members) if n.endswith(".npz")])
        for _ in range(data.ConsumeIntInRange(1, 4)):
            members[name] = change_array(data, members[name])
        if data.ConsumeProbability() < 0.2:
            members[name] = change_bytes(data, members[name])
    manifest = json.loads(members.pop("manifest.json"))
    manifest["members"] = {
        name: {"bytes": len(content), "sha256": sha256(content)}
        for name, content in members.items()
    }
    for _ in range(data.ConsumeIntInRange(0, 3)):
        change_value(data, manifest)
    text = json.dumps(manifest).encode()
    if data.ConsumeProbability() < 0.1:
        text = change_bytes(data, text)
    content = _pack({"manifest.json": text, **members})
    # the archive itself, the checksum at its end made right again
    if data.ConsumeProbability() < 0.1:
        for _ in range(data.ConsumeIntInRange(1, 4)):
            content = (
                change_bytes(data, content[:-64])
                if data.ConsumeBool()
                else content[:-64][-data.ConsumeIntInRange(0, 200) :]
            )
            content += sha256(content).encode()
    return content


def use(bundle: rt.Bundle) -> None:
    """All that a bundle promises, and the backends that read it."""
    spec = bundle.spec
    assert bundle.lengths.sum() == len(bundle.golden[0])
    for name in (
        "reference",
        "numpy",
        *(("native", "native-fp16", "native-int8") if WITH_LIBRARY and not spec.whole else ()),
    ):
        open_backend(name, bundle).run(np.ones((2, spec.feature_size), np.float32))
    rt.Model(bundle).session("numpy").run(bundle.golden[0])


BASES = bases()
# in memory: libFuzzer ends the process without cleaning up
FILE = Path(f"/proc/self/fd/{os.memfd_create('bundle')}")


def test_one_input(raw: bytes) -> None:
    data = atheris.FuzzedDataProvider(raw)
    content = changed_bundle(data, data.PickValueInList(BASES))
    FILE.write_bytes(content)
    with contextlib.suppress(rt.EdgeLstmError):
        use(rt.read_bundle(FILE))


def main() -> None:
    # NumPy warns of sums that overflow and of odd headers, which changes nothing
    warnings.simplefilter("ignore")
    for base in BASES:  # unchanged they are right, or nothing would be tested
        FILE.write_bytes(_pack(base))
        use(rt.read_bundle(FILE))
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(32):  # lists of changes to start from
        (folder / f"start{k}").write_bytes(np.random.default_rng(k).bytes(40 + 8 * k))
    atheris.Setup(
        [sys.argv[0], "-len_control=0", "-max_len=400", "-rss_limit_mb=700", *sys.argv[1:]],
        test_one_input,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
