"""The facts in a manifest that the check, the backends and `info` rely on."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BundleError
from .measured import read_measured

MAX_VERSION = 2**53 - 1  # what every reader of JSON takes for what it is
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
# The largest limits that an export writes (docs/backends.md, "What counts as right"). Beyond them
# a check could not fail. Those of max_abs are shares of the largest output, or of 1 if it is less.
FLOAT32_MOST = {"max_abs": 2.0**-11}
FEWER_BITS_MOST = {"nrmse": 0.15, "max_abs": 0.15}


def check_facts(
    manifest: Mapping[str, Any], members: Mapping[str, bytes], outputs: NDArray[np.float64]
) -> None:
    """outputs: (steps, O), the golden ones of the reference.

    Raises BundleError. A fact that is missing or of another type raises KeyError, TypeError or
    AttributeError.
    """
    largest = max(1.0, float(np.abs(outputs).max()))
    for key, what, most in (
        ("native_int8", "int8 on the CPU", FEWER_BITS_MOST),
        ("native_fp16", "float16 on the CPU", FEWER_BITS_MOST),
        ("float32", "float32", FLOAT32_MOST),
    ):
        if key not in manifest:
            continue
        if not (_is_tolerance(manifest[key]["tolerance"]) and _is_verdict(manifest[key])):
            raise BundleError(f"the manifest's entry for {what} is malformed: {manifest[key]}")
        _check_limit(what, manifest[key]["tolerance"], most, largest)
    left_out = manifest.get("left_out", {})
    if not all(isinstance(reason, str) for reason in left_out.values()):
        raise BundleError(f"the manifest's entry for what was left out is malformed: {left_out}")
    for name, entry in manifest.get("artifacts", {}).items():
        _check_artifact(name, entry, members)
        _check_limit(f"the artifact {name!r}", entry["tolerance"], FEWER_BITS_MOST, largest)
    for measured, figures in read_measured(manifest.get("accuracy", [])).items():
        if not all(_is_number(figures[key]) for key in ("max_abs", "nrmse", "steps")):
            raise BundleError(
                f"the manifest's accuracy of {str(measured)!r} is malformed: {figures}"
            )
    read_measured(manifest.get("metrics", []))
    check_origin(manifest)
    dict(manifest.get("versions", {}).items())


def check_origin(manifest: Mapping[str, Any]) -> None:
    """The model's name and version, and where it is from. Raises as `check_facts`."""
    if "model" in manifest:
        model = manifest["model"]
        if set(model) != {"name", "version"}:
            raise BundleError(f"the manifest's model has {sorted(model)}, expected name, version")
        if wrong := wrong_name(model["name"]) or wrong_version(model["version"]):
            raise BundleError(f"the manifest's model: {wrong}")
    provenance = manifest.get("provenance", {})
    texts = {key: value for key, value in provenance.items() if isinstance(value, str)}
    if len(texts) < len(provenance):
        raise BundleError(f"the manifest's provenance is no list of texts: {provenance}")
    for key in ("trained", "data_modified"):
        if key in texts and not _MOMENT.fullmatch(texts[key]):
            raise BundleError(
                f"the manifest's provenance has {key} {texts[key]!r}, expected a time such as "
                "2026-03-01T12:00:00Z"
            )


def wrong_name(name: Any) -> str:
    """Why it is no name of a model, "" if it is one."""
    if isinstance(name, str) and _NAME.fullmatch(name):
        return ""
    return (
        f"the name is {name!r}; expected 1 to 64 letters (a to z), digits, dots, - and _, the "
        "first one a letter or digit"
    )


def wrong_version(version: Any) -> str:
    """Why it is no version of a model, "" if it is one."""
    if type(version) is int and 1 <= version <= MAX_VERSION:
        return ""
    return f"the version is {version!r}; expected a whole number from 1 to {MAX_VERSION}"


def _is_number(value: Any) -> bool:
    """Whether it is a number from 0 up. NaN and infinities are not, nor is 10**400."""
    return type(value) in (int, float) and 0 <= value <= sys.float_info.max


def _is_tolerance(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and set(value) == {"metric", "limit", "reason"}
        and value["metric"] in ("max_abs", "nrmse")
        and _is_number(value["limit"])
    )


def _check_limit(
    what: str, tolerance: Mapping[str, Any], most: Mapping[str, float], largest: float
) -> None:
    """largest: the largest output, or 1."""
    metric = tolerance["metric"]
    if metric not in most:
        raise BundleError(
            f"the manifest's tolerance for {what} is of {metric}, expected {' or '.join(most)}"
        )
    bound = most[metric] * (largest if metric == "max_abs" else 1.0)
    if tolerance["limit"] > bound * (1 + 1e-9):
        raise BundleError(
            f"the manifest's tolerance for {what} is {metric} {tolerance['limit']:.2g}, and at "
            f"most {bound:.2g} counts as right; export it again"
        )


def _is_verdict(entry: Mapping[str, Any]) -> bool:
    """Whether the verdict on the test split, if there is one, can be read."""
    found = entry.get("test_split", {})
    return isinstance(found, Mapping) and isinstance(found.get("verdict", ""), str)


def _check_artifact(name: str, entry: Any, members: Mapping[str, bytes]) -> None:
    """Check the facts about a converted model that hold for every vendor. Raises BundleError."""
    if name not in members:
        raise BundleError(f"the manifest has the artifact {name!r}, and there is no such member")
    recipe = entry.get("recipe") if isinstance(entry, Mapping) else None
    io = recipe.get("io") if isinstance(recipe, Mapping) else None
    if not isinstance(io, Mapping):
        raise BundleError(f"the manifest's entry for the artifact {name!r} lacks recipe.io")
    steps = io.get("steps", 1)
    beside = entry.get("beside", [])
    good = {
        "target": isinstance(entry.get("target"), str),
        "tolerance": _is_tolerance(entry.get("tolerance")),
        "test_split": _is_verdict(entry),
        "beside": isinstance(beside, list) and all(name in members for name in beside),
        "recipe.io.form": isinstance(io.get("form"), str),
        "recipe.io.steps": type(steps) is int and steps >= 1,
    }
    if wrong := [key for key, is_good in good.items() if not is_good]:
        raise BundleError(
            f"the manifest's entry for the artifact {name!r} has no valid {' and '.join(wrong)}"
        )
