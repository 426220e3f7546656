"""The bundle for a board: what its backends need, and golden samples that are nobody's recording.

The calibration set never travels. What the export measured and its verdict on the test split stay.
The limits of `check` are measured anew, by the export's rule, with the new golden samples.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np

from edge_lstm_runtime import Bundle, read_bundle, write_bundle
from edge_lstm_runtime.backends import native_int8, onnx
from edge_lstm_runtime.backends.artifacts import artifacts_of
from edge_lstm_runtime.backends.reference import reference
from edge_lstm_runtime.backends.registry import known_facts
from edge_lstm_runtime.errors import ConfigError, ConversionError
from edge_lstm_runtime.files import check_file_writable
from edge_lstm_runtime.verify.golden import Samples, first, golden_features, run_sequences

from ..importers.edge import step_of
from .limits import NotRightError, measured, packed, with_limits
from .samples import generated

NATIVE = "native"
ONNX = "onnx"
MEMBERS = {NATIVE: (native_int8.MEMBER,), ONNX: (onnx.MEMBER, onnx.CELL)}
SEEDS = 5  # tried before it is given up
Say = Callable[[str], None]


def targets_in(bundle: Bundle) -> list[str]:
    """The NPUs that the bundle has converted models for."""
    return sorted({entry["target"] for entry in artifacts_of(bundle, None).values()})


def slim_bundle(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    keep: Collection[str],
    *,
    real: int | None = None,
    say: Say = lambda _: None,
) -> Bundle:
    """Write a bundle without recordings.

    keep: "native", "onnx" and targets in the bundle. The weights, and so NumPy and the float32 C
    kernel, always stay. real: that many of the golden samples stay, None for generated ones alone.
    Raises BundleError, ConfigError for something to keep that the bundle lacks, and ConversionError
    if a kept backend is wrong on the samples, or if a limit can't be measured here.
    """
    bundle = read_bundle(path)
    _check_asked(bundle, path, out, keep)
    kept = _members(bundle, keep)
    for seed in range(SEEDS if real is None else 1):
        samples = _made(bundle, seed) if real is None else _real(bundle, real)
        try:
            limits = measured(bundle, samples, kept, generated=real is None, say=say)
        except NotRightError as e:
            wrong = str(e)
            say(f"seed {seed}: {wrong}" if real is None else wrong)
            continue
        facts = _facts(bundle, kept, keep, _told(bundle, samples, seed, real=real is not None))
        members = {name: bundle.members[name] for name in kept}
        members["golden.npz"] = packed(samples, bundle.spec)
        return write_bundle(out, bundle.spec, bundle.weights, members, **with_limits(facts, limits))
    raise ConversionError(f"{os.fspath(path)}: {wrong}; keep {'more ' if real else ''}real samples")


def _check_asked(
    bundle: Bundle, path: str | os.PathLike[str], out: str | os.PathLike[str], keep: Collection[str]
) -> None:
    """Raises ConfigError, and ConversionError for a place that can't be written."""
    if bundle.manifest["format"] == 1:
        raise ConfigError(f"{os.fspath(path)} has bundle format 1; export the run again")
    known = [*MEMBERS, *targets_in(bundle)]
    for name in keep:
        if name not in known:
            raise ConfigError(
                f"there is no {name!r} to keep in {os.fspath(path)}; expected one of "
                f"{', '.join(known)}"
            )
    if not keep:
        raise ConfigError(f"nothing is to be kept; expected one or more of {', '.join(known)}")
    if Path(out).exists() and Path(out).samefile(path):
        raise ConfigError(f"{os.fspath(out)} is read, and would be replaced; name another -o")
    try:
        check_file_writable(Path(out))
    except OSError as e:
        raise ConversionError(f"can't write {os.fspath(out)}: {e.strerror or e}") from e


def _members(bundle: Bundle, keep: Collection[str]) -> list[str]:
    """The members that stay, but for weights and golden samples."""
    wanted = {*bundle.spec.network.members}
    for name in keep:
        wanted |= {*MEMBERS.get(name, ())}
    entries = artifacts_of(bundle, None).items()
    for member, entry in entries:
        if entry["target"] in keep:
            wanted |= {member, *entry.get("beside", ())}
    return sorted(wanted & {*bundle.members})


def _real(bundle: Bundle, count: int) -> Samples:
    if count < 1:
        raise ConfigError(f"--real is {count}; expected a whole number from 1")
    return first(bundle, count)


def _made(bundle: Bundle, seed: int) -> Samples:
    lengths = bundle.lengths
    x = generated(bundle.spec.inputs, bundle.golden[0], lengths, seed)
    exact = (
        step_of(bundle).reference()
        if bundle.spec.network.opaque
        else reference(bundle.spec, bundle.weights)
    )
    y = run_sequences(exact, golden_features(bundle.spec, x, lengths), lengths)
    return Samples(x, y.astype(np.float64), lengths)


def _facts(
    bundle: Bundle, kept: Collection[str], keep: Collection[str], golden: str
) -> dict[str, Any]:
    """The manifest's, of what stays."""
    facts = {k: v for k, v in bundle.manifest.items() if k not in ("format", "spec", "members")}
    why = f"`edge-lstm slim` kept {', '.join(keep)}"
    entries = facts.get("artifacts", {})
    left_out = {**facts.get("left_out", {})}
    left_out |= {name: why for name in entries if name not in kept}
    if native_int8.MEMBER in bundle.members and native_int8.MEMBER not in kept:
        left_out["native-int8"] = why
        facts.pop("native_int8", None)
    gone = [name for name in MEMBERS[ONNX] if name in bundle.members and name not in kept]
    if gone:
        left_out |= dict.fromkeys((ONNX, *gone), why)
    facts["artifacts"] = {name: entry for name, entry in entries.items() if name in kept}
    kinds = {entry["kind"] for entry in facts["artifacts"].values()}
    for name, known in known_facts().items():
        if known and known.desktop and known.artifact in kinds:
            left_out[name] = f"{known.desktop} does not travel"
    origin = {"slim_of": bundle.digest, "golden": golden}
    facts |= {"left_out": left_out, "provenance": {**facts.get("provenance", {}), **origin}}
    return facts


def _told(bundle: Bundle, samples: Samples, seed: int, *, real: bool) -> str:
    if real:
        kind = bundle.manifest.get("provenance", {}).get("golden", "real test samples")
        return f"the first {len(samples.x)} of: {kind}"
    return f"{len(samples.x)} generated samples (seed {seed}) within the training's range"
