"""The bundle, `NAME.edge`: one file that holds a model and the proof that it is right.

It is a zip archive without compression. Dates are fixed and members sorted, so that the same
content gives the same bytes.

    manifest.json   format version, model specification, members with sha256 and size, versions,
                    measured accuracy
    weights.npz     float32 weights by name, such as "lstm0.W_x" (see `layers`); never pickled
    golden.npz      x (steps, C) float64: real test samples in raw units
                    y (steps, O) float64: the network outputs of the reference
                    lengths (sequences,) int64, for a bidirectional model only: x is whole
                    sequences, one after the other
    model.onnx ...  members of export steps: graphs, converted models, the calibration set

The archive's comment is the sha256 of all bytes before it, so one altered byte anywhere is found.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import math
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kinds, log
from ..digest import running, sha256
from ..errors import BundleError, NewerFormatError
from ..files import atomic_write, failure
from ..shown import counted, is_plain
from . import archive, format1
from .facts import check_facts
from .npz import read_npz, write_npz
from .spec import ModelSpec

FORMAT = 2
READS = (1, 2)
# Of a whole bundle and of all its members: far above any compact LSTM, far below a board's memory.
MAX_BYTES = 1 << 28
REQUIRED = ("weights.npz", "golden.npz")
_COMMENT_SIZE = 64
_END_OF_ARCHIVE = struct.Struct("<4s4H2LH")


@dataclasses.dataclass(frozen=True)
class Bundle:
    """A bundle that was read and checked as a whole.

    weights: float32 by name, (inputs, units) or (units,) each.
    members: file name -> content, without manifest.json.
    digest: the sha256 of the whole file, as `sha256sum` prints it.

    >>> import edge_lstm_runtime as rt
    >>> bundle = rt.read_bundle("mine.edge")
    >>> bundle
    Bundle(classify: 3 channels -> lstm 8 -> 2 classes; 2 members)
    >>> sorted(bundle.members)  # an export adds graphs, int8 weights, converted models
    ['golden.npz', 'weights.npz']
    >>> bundle.member("golden.npz")[:2]
    b'PK'
    >>> x, y = bundle.golden  # float64: samples (steps, C), the reference's outputs (steps, O)
    >>> x.shape[1], y.shape[1], bundle.lengths.tolist() == [len(x)]
    (3, 2, True)
    >>> bundle.arrays("golden.npz")["x"].shape == x.shape
    True
    >>> bundle.fingerprint.shape, dict(bundle.left_out)
    ((16,), {})
    >>> bundle.absent("rk3588-fp16.rknn").split(";")[0]
    'the bundle has no rk3588-fp16.rknn'
    >>> bundle.name, bundle.version  # of `edge-lstm export --name gesture --version 3`
    ('', None)
    """

    spec: ModelSpec
    weights: Mapping[str, NDArray[np.float32]]
    manifest: Mapping[str, Any]
    members: Mapping[str, bytes] = dataclasses.field(repr=False)
    digest: str = dataclasses.field(default="", repr=False)

    def __repr__(self) -> str:
        return f"Bundle({self.spec.summary}; {counted(len(self.members), 'member')})"

    def member(self, name: str) -> bytes:
        """The content of a member. Raises BundleError if there is no member of this name."""
        try:
            return self.members[name]
        except KeyError:
            raise BundleError(self.absent(name)) from None

    @property
    def name(self) -> str:
        """The model's name, "" if the export gave none."""
        return str(self.manifest.get("model", {}).get("name", ""))

    @property
    def version(self) -> int | None:
        """The model's version, from 1, which only grows. None if the export gave none."""
        version: int | None = self.manifest.get("model", {}).get("version")
        return version

    @property
    def left_out(self) -> Mapping[str, str]:
        """Members and backends that the export left out as out of tolerance: name -> reason."""
        reasons: Mapping[str, str] = self.manifest.get("left_out", {})
        return reasons

    @property
    def fingerprint(self) -> NDArray[np.uint8]:
        """(16,) of the specification and the weights: a session's state carries it."""
        names = ("weights.npz", *self.spec.network.members)
        weights = [self.manifest["members"][name]["sha256"] for name in names]
        facts = json.dumps([self.manifest["spec"], *weights], sort_keys=True)
        return np.frombuffer(bytes.fromhex(sha256(facts.encode()))[:16], np.uint8)

    def absent(self, name: str) -> str:
        """Why there is no member or backend of this name, as a sentence."""
        if name in self.left_out:
            return f"the export left {name} out: {self.left_out[name]}"
        return f"the bundle has no {name}; it holds {', '.join(sorted(self.members))}"

    def arrays(self, name: str) -> dict[str, NDArray[Any]]:
        """The arrays of a member that is an .npz file, by name. Raises BundleError.

        Their shapes are the member's own: x (steps, C) of golden.npz (docs/bundle.md).
        """
        arrays = read_npz(self.member(name), name)
        return format1.arrays(name, arrays) if self.manifest["format"] == 1 else arrays

    @functools.cached_property
    def _golden(self) -> dict[str, NDArray[Any]]:
        return self.arrays("golden.npz")

    @functools.cached_property
    def golden(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """x (steps, C) in raw units and y (steps, O), the reference's outputs, both float64.

        Raises BundleError if an array is missing or malformed.
        """
        arrays = self._golden
        try:
            x = arrays["x"]
            y = arrays["y"]
        except KeyError as e:
            raise BundleError(f"golden.npz has no array {e}") from e
        steps = x.shape[0] if x.ndim else 0
        expected = (steps, self.spec.inputs.size), (steps, self.spec.answer.size)
        exact = x.dtype == y.dtype == np.float64
        if (x.shape, y.shape) != expected or not exact or steps == 0:
            raise BundleError(
                f"golden.npz holds {x.dtype}{x.shape} and {y.dtype}{y.shape}, "
                f"expected float64 of {expected}"
            )
        if not np.isfinite(y).all():
            raise BundleError("golden.npz has reference outputs that are not finite")
        return x, y

    @functools.cached_property
    def lengths(self) -> NDArray[np.int64]:
        """(sequences,) the steps of each sequence in `golden`.

        A bidirectional model may have several, any other model has one. Raises BundleError.
        """
        steps = len(self.golden[0])
        lengths = self._golden.get("lengths")
        if lengths is None and not self.spec.whole:
            return np.array([steps])
        if lengths is None or not self.spec.whole:
            raise BundleError(
                f"golden.npz has {'no' if lengths is None else 'an'} array 'lengths', "
                "which models that need whole sequences alone have"
            )
        shape = lengths.ndim == 1 and lengths.dtype == np.int64
        if (
            not shape
            or not len(lengths)
            or lengths.min() < 1
            or lengths.max() > steps
            or lengths.sum() != steps
        ):
            found = (
                lengths.tolist()
                if shape and len(lengths) < 20
                else f"{lengths.dtype}{lengths.shape}"
            )
            raise BundleError(
                f"golden.npz has the lengths {found}, "
                f"expected int64 of at least 1 each, {steps} in all"
            )
        return lengths


def write_bundle(
    path: str | os.PathLike[str],
    spec: ModelSpec,
    weights: Mapping[str, NDArray[np.float32]],
    members: Mapping[str, bytes],
    **facts: Any,
) -> Bundle:
    """Check a bundle, write it atomically and return it.

    weights: name -> float32 array, (inputs, units) or (units,), as `Network.check_weights` takes
    them. members: file name -> content, with at least golden.npz. facts: further keys of the
    manifest, JSON values.
    Raises BundleError if the bundle is not valid or can't be written (a full disk, a folder that
    isn't there). An older bundle at `path` then stays as it was.

    >>> import edge_lstm_runtime as rt
    >>> bundle = rt.read_bundle("mine.edge")
    >>> members = {"golden.npz": bundle.member("golden.npz")}
    >>> small = rt.write_bundle("small.edge", bundle.spec, bundle.weights, members, origin="mine")
    >>> sorted(small.members), small.manifest["origin"]
    (['golden.npz', 'weights.npz'], 'mine')
    """
    members = {**members, "weights.npz": write_npz(weights)}
    manifest = {
        **facts,
        "format": FORMAT,
        "spec": spec.to_dict(),
        "members": {
            name: {"bytes": len(data), "sha256": sha256(data)}
            for name, data in sorted(members.items())
        },
    }
    try:
        text = json.dumps(manifest, indent=1, sort_keys=True, allow_nan=False)
    except ValueError as e:
        raise BundleError(f"can't write {os.fspath(path)}: its manifest is no JSON: {e}") from e
    data = _pack({"manifest.json": text.encode(), **members})
    bundle = unpack(data, str(path))
    try:
        with atomic_write(path) as file:
            file.write(data)
    except OSError as e:
        raise BundleError(f"can't write {os.fspath(path)}: {failure(e)}") from e
    return bundle


def read_bundle(
    path: str | os.PathLike[str], *, trusted: str | os.PathLike[str] | None = None
) -> Bundle:
    """Read and check a bundle.

    trusted: an allowed_signers file of OpenSSH. The signature NAME.edge.sig beside the bundle must
    then be by one of its keys (docs/trust.md). It is checked before anything in the bundle is read.

    Raises BundleError: NewerFormatError for a later format version, SignatureError if nobody who is
    trusted signed it. Raises ConfigError for the file of trusted keys. The message says the fault.

    >>> import edge_lstm_runtime as rt
    >>> rt.read_bundle("mine.edge").weights["lstm0.W_x"].shape  # (F, 4 H) float32
    (3, 32)
    """
    data = read_whole(path)
    if trusted is None:
        return unpack(data, os.fspath(path))
    from ..trust.check import check_clock, check_signature  # here: few need it, and it takes 6 ms

    signer = check_signature(data, path, trusted)
    bundle = unpack(data, os.fspath(path))
    check_clock(signer, bundle.manifest.get("provenance", {}), path)
    log.info("%s is signed by %s", os.fspath(path), signer)
    return bundle


def read_whole(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a bundle's file, unchecked but for their number. Raises BundleError."""
    try:
        if other := kinds.mistaken(path, kinds.BUNDLE):
            raise BundleError(other)
        with Path(path).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_BYTES:
                raise BundleError(
                    f"{os.fspath(path)} has {size} bytes; a bundle has at most {MAX_BYTES}"
                )
            return file.read(size or MAX_BYTES)  # a pipe states none, and a device may never end
    except (OSError, ValueError) as e:  # ValueError: NUL in the name
        raise BundleError(f"can't read {os.fspath(path)}: {getattr(e, 'strerror', e)}") from e


def _pack(members: Mapping[str, bytes]) -> bytes:
    import zipfile  # here: a board that writes no bundle does without

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as file:
        for name in sorted(members):
            info = zipfile.ZipInfo(name)  # dated 1980-01-01
            info.create_system = 3  # Unix, wherever it is written
            info.external_attr = 0o644 << 16
            file.writestr(info, members[name])
        file.comment = b"0" * _COMMENT_SIZE
    data = buffer.getvalue()[:-_COMMENT_SIZE]
    return data + sha256(data).encode()


def unpack(data: bytes, path: str) -> Bundle:
    """The bundle in these bytes, checked. path: for messages. Raises BundleError."""
    manifest, members, count, digest = _read_archive(data, path)
    try:
        _check_members(manifest["members"], members, count, path)
        described = manifest["spec"]
        weights = read_npz(members["weights.npz"], "weights.npz")
        if manifest["format"] == 1:
            described = format1.specification(described)
            weights = format1.renamed(weights)
        spec = ModelSpec.from_dict(described)
        spec.network.check_weights(weights)
        if missing := [name for name in spec.network.members if name not in members]:
            raise _refusal(path, f"lacks {', '.join(missing)}, which holds its network")
        bundle = Bundle(spec, weights, manifest, members, digest)
        _ = bundle.lengths
        check_facts(manifest, members, bundle.golden[1])
    except (KeyError, TypeError, AttributeError, RecursionError) as e:
        raise _refusal(path, f"has a malformed manifest ({type(e).__name__}: {e})") from e
    except BundleError as e:
        raise e if str(e).startswith(path) else BundleError(f"{path}: {e}") from e
    return bundle


def _refusal(path: str, why: str) -> BundleError:
    return BundleError(f"{path} {why}; copy or export it again")


def _read_archive(data: bytes, path: str) -> tuple[Any, dict[str, bytes], int, str]:
    """The manifest, the other members by name, the number of all entries, and the sha256 of all.

    Raises BundleError for another version, a wrong checksum, compression, or any other file.
    """
    try:
        entries = archive.directory(data)
        declared = sum(e.size for e in entries)
        if declared > MAX_BYTES:
            raise BundleError(
                f"{path} declares members of {declared} bytes; a bundle has at most {MAX_BYTES}"
            )
        first = [e for e in entries if e.name == "manifest.json"]  # a second one is refused later
        if not first:
            raise archive.ArchiveError("it has no manifest.json")
        if not archive.stored(first, len(data)):
            raise _refusal(path, "holds a compressed manifest, which no edge-lstm writes")
        manifest = _read_manifest(archive.content(data, first[0]), path)
        # The version comes first: a later format may have a layout that looks damaged here.
        _check_version(manifest["format"], path)
        digest = _check_sum(data, path)
        if not archive.stored(entries, len(data)):
            raise _refusal(path, "holds compressed members, which no edge-lstm writes")
        members = {e.name: archive.content(data, e) for e in entries if e.name != "manifest.json"}
    except (KeyError, ValueError, TypeError, RecursionError) as e:
        raise _refusal(
            path, f"is not a whole bundle: it was truncated or altered, or is some other file ({e})"
        ) from e
    return manifest, members, len(entries), digest


def _read_manifest(text: bytes, path: str) -> Any:
    """Python reads NaN, Infinity and 1e999, which are no JSON: with them a check could not fail.

    Raises BundleError for such a number, and ValueError or RecursionError for another text.
    """

    def finite(number: str) -> float:
        value = float(number)
        if not math.isfinite(value):
            raise _refusal(path, f"has the number {number} in its manifest, which is not finite")
        return value

    return json.loads(text, parse_float=finite, parse_constant=finite)


def _check_version(version: Any, path: str) -> None:
    if isinstance(version, int) and version > FORMAT:
        raise NewerFormatError(
            f"{path} has bundle format {version} and this edge-lstm reads up to {FORMAT}; "
            "install a newer edge-lstm here, or export the model again with this one"
        )
    if type(version) is not int or version not in READS:
        raise _refusal(path, f"has bundle format {version!r}, expected one of {READS}")


def _check_sum(data: bytes, path: str) -> str:
    """The archive must end with its own sha256, as a comment of 64 bytes -> that of all of it."""
    start = max(len(data) - _COMMENT_SIZE - _END_OF_ARCHIVE.size, 0)
    signature = _END_OF_ARCHIVE.unpack_from(data, start)[0]
    sums = running(len(data))
    sums.update(memoryview(data)[:-_COMMENT_SIZE])  # a view: no second copy of it
    if signature != b"PK\x05\x06" or data[-_COMMENT_SIZE:] != sums.hexdigest().encode():
        raise _refusal(
            path, "is damaged: its checksum does not match, so it was truncated or altered"
        )
    sums.update(data[-_COMMENT_SIZE:])
    return str(sums.hexdigest())


def _check_members(
    listed: Mapping[str, Any], members: Mapping[str, bytes], count: int, path: str
) -> None:
    """The members must be those that the manifest lists, with its sizes and checksums.

    count: of the entries in the archive, the manifest among them.
    """
    missing = [name for name in {*listed, *REQUIRED} if name not in members]
    if missing:
        raise _refusal(path, f"lacks {', '.join(sorted(missing))}")
    if odd := [name for name in members if not is_plain(name)]:
        raise _refusal(path, f"has members whose names have control characters: {sorted(odd)}")
    if count != len(members) + 1 or set(members) != set(listed):
        found = sorted(set(members) - set(listed)) or "a name twice"
        raise _refusal(path, f"has members that its manifest does not list: {found}")
    for name, content in members.items():
        if listed[name] != {"bytes": len(content), "sha256": sha256(content)}:
            raise _refusal(
                path, f"is damaged: {name} does not have the size and sha256 of the manifest"
            )
