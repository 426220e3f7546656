"""The limits of `check` for new golden samples, by the export's rule (docs/backends.md)."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime import Bundle, ModelSpec, compare
from edge_lstm_runtime.backends import native_int8, onnx
from edge_lstm_runtime.backends.artifacts import artifacts_of
from edge_lstm_runtime.backends.registry import facts_of, known_facts, open_backend
from edge_lstm_runtime.errors import BackendError, BackendUnavailableError, ConversionError
from edge_lstm_runtime.model.npz import write_npz
from edge_lstm_runtime.verify.error import Tolerance
from edge_lstm_runtime.verify.golden import Samples, golden_features, run_sequences

from ..importers.edge import step_of
from ..measure import tolerances
from ..npu.vendor import Vendor, vendors

# By the converted model's member, or the manifest's key of a backend. None: of float32.
Limits = dict[str | None, Tolerance]
SCHEMES = {"int8": "int8", "float16": "fp16"}  # by the backend's number format
Say = Callable[[str], None]


class NotRightError(Exception):
    """A backend is wrong on the samples."""


def measured(
    bundle: Bundle, samples: Samples, kept: Collection[str], *, generated: bool, say: Say
) -> Limits:
    """The limit of each kept model.

    generated: whether the samples are. If they are not, a model that can't be simulated here keeps
    its limit. Raises NotRightError. Raises ConversionError if the samples are generated and a kept
    model can't be simulated here.
    """
    if not np.isfinite(samples.y).all():
        raise NotRightError("the reference's answers to the samples are not finite")
    members = {**bundle.members, "golden.npz": packed(samples, bundle.spec)}
    trial = dataclasses.replace(bundle, members=members)  # with all that a simulator needs
    words = "over the generated samples" if generated else "over the golden samples"
    float32 = _float32(bundle, samples)
    limits: Limits = {None: float32}
    for name in _float32_backends(kept, bundle):
        found = compare(_outputs(trial, samples, name, None), samples.y)
        told = f"{name}: max abs {found.max_abs:.1e}"
        if not found.within(float32):
            raise NotRightError(f"{told} on the samples; expected up to {float32.limit:.1e}")
        say(told)
    for name, key, scheme in _promised(bundle, kept):
        outputs = _outputs(trial, samples, name, None)
        limits[key] = _fewer_bits(scheme, outputs, samples, bundle.manifest[key], words)
        say(f"{name}: {_told(outputs, samples)}")
    for member, entry in artifacts_of(bundle, None).items():
        if member not in kept:
            continue
        vendor = next((one for one in vendors() if one.kind == entry["kind"]), None)
        if vendor is None or not _is_ready(vendor):
            if generated:
                raise ConversionError(
                    f"{member} can't be measured with generated samples, because the vendor's "
                    "converter is not here; make it by `edge-lstm converter make`, or keep real "
                    "samples by --real N"
                )
            say(f"{member}: not measured here, because the vendor's converter is not here")
            continue
        outputs = _outputs(trial, samples, vendor.simulator, member)
        limits[member] = _fewer_bits(entry["scheme"], outputs, samples, entry, words)
        say(f"{member}: {_told(outputs, samples)} on the simulator")
    return limits


def _is_ready(vendor: Vendor) -> bool:
    """Whether its simulator runs here. Making an environment for it would take minutes."""
    return not facts_of(vendor.simulator).needs or vendor.is_ready()


def with_limits(facts: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
    """The manifest's facts with these limits."""
    changed = {**facts, "artifacts": dict(facts.get("artifacts", {}))}
    for member, limit in limits.items():
        tolerance = {"tolerance": dataclasses.asdict(limit)}
        if member is None:
            changed["float32"] = tolerance
        else:
            place = changed["artifacts"] if member in changed["artifacts"] else changed
            place[member] = {**place[member], **tolerance}
    return changed


def packed(samples: Samples, spec: ModelSpec) -> bytes:
    """golden.npz of these samples."""
    golden = {"x": samples.x, "y": samples.y}
    return write_npz(golden | {"lengths": samples.lengths} if spec.whole else golden)


def _float32(bundle: Bundle, samples: Samples) -> Tolerance:
    rows = golden_features(bundle.spec, samples.x, samples.lengths)
    if not bundle.spec.network.opaque:
        return tolerances.float32(bundle.spec, bundle.weights, rows, samples.lengths, samples.y)
    step = step_of(bundle)
    return tolerances.float32(
        bundle.spec, step.weights, rows, samples.lengths, samples.y, step.backend
    )


def _fewer_bits(
    scheme: str,
    outputs: NDArray[Any],
    samples: Samples,
    entry: Mapping[str, Any],
    words: str,
) -> Tolerance:
    """entry: of the manifest, with the test split's passes. Raises NotRightError."""
    nrmse = compare(outputs, samples.y).nrmse
    if not nrmse <= tolerances.wrong(scheme):
        raise NotRightError(f"{scheme}: NRMSE {nrmse:.1e} on the samples, which is wrong")
    passes = entry.get("test_split", {}).get("passes", {}).values()
    split = [found["nrmse"] for found in passes]
    return tolerances.fewer_bits(scheme, outputs, samples.y, words, split)


def _promised(bundle: Bundle, kept: Collection[str]) -> Iterator[tuple[str, str, str]]:
    """Of each backend with a limit of its own: its name, its key in the manifest, its format."""
    for name, facts in known_facts().items():
        if facts is None or facts.promise not in bundle.manifest:
            continue
        if facts.promise != native_int8.FACTS.promise or native_int8.MEMBER in kept:
            yield name, facts.promise, SCHEMES[facts.number_format]


def _float32_backends(kept: Collection[str], bundle: Bundle) -> Iterator[str]:
    """Those that run the bundle here."""
    graphs = {onnx.MEMBER, onnx.CELL} & {*kept}
    for name, facts in known_facts().items():
        if facts is None or facts.artifact or facts.number_format != "float32":
            continue
        if graphs if facts.graph else not bundle.spec.network.opaque:
            with contextlib.suppress(BackendUnavailableError):
                open_backend(name, bundle).close()
                yield name


def _outputs(trial: Bundle, samples: Samples, name: str, member: str | None) -> NDArray[Any]:
    """(steps, O). Raises NotRightError if the backend fails."""
    try:
        with contextlib.closing(open_backend(name, trial, artifact=member)) as backend:
            rows = golden_features(trial.spec, samples.x, samples.lengths)
            return run_sequences(backend, rows.astype(backend.dtype), samples.lengths)
    except BackendUnavailableError as e:
        raise ConversionError(f"{member or name} can't be measured here: {e}") from e
    except BackendError as e:
        raise NotRightError(f"{member or name} failed: {e}") from e


def _told(outputs: NDArray[Any], samples: Samples) -> str:
    return f"NRMSE {compare(outputs, samples.y).nrmse:.1e}"
