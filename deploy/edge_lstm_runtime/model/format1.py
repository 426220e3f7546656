"""Bundles of format 1, translated into format 2.

Format 1 knew one kind of net: `num_layers` LSTM layers of `hidden_size` units and a dense head. Its
specification was one flat object. Its weights were called layer0.W_x, layer0.reverse.W_x, head.W.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from ..errors import BundleError

T = TypeVar("T")
_CHANNELS = {"channels": "channels", "input_mean": "mean", "input_std": "std"}
_OPTIONAL = ("missing", "front_end", "dt", "dt_unit", "time")
_ANSWER = {"output_offset": "offset", "output_scale": "scale", "horizon": "horizon"}
_KEYS = {
    "task", "hidden_size", "num_layers", "classes", "targets", "residual", "bidirectional",
    "anomaly_centre", "anomaly_scale", "anomaly_threshold", "anomaly_smoothing",
    *_CHANNELS, *_OPTIONAL, *_ANSWER,
}  # fmt: skip


def specification(old: Mapping[str, Any]) -> dict[str, Any]:
    """The specification in format 2. Raises BundleError if it is not one of format 1."""
    if not isinstance(old, Mapping) or set(old) - _KEYS:
        found = sorted(set(old) - _KEYS) if isinstance(old, Mapping) else repr(old)
        raise BundleError(f"model specification has unknown keys {found}")
    try:
        return {"inputs": _inputs(old), "network": _network(old), "answer": _answer(old)}
    except KeyError as e:
        raise BundleError(f"model specification is malformed: it lacks {e}") from e
    except (TypeError, ValueError) as e:
        raise BundleError(f"model specification is malformed: {e}") from e


def _inputs(old: Mapping[str, Any]) -> dict[str, Any]:
    if old["task"] == "language":
        (channel,) = old["channels"]
        return {"kind": "characters", "characters": old["classes"], "channel": channel}
    found = {new: old[key] for key, new in _CHANNELS.items()}
    return {"kind": "channels", **found, **{k: old[k] for k in _OPTIONAL if old.get(k)}}


def _network(old: Mapping[str, Any]) -> list[dict[str, Any]]:
    count = old["num_layers"]
    units = old["hidden_size"]
    if type(count) is not int or not 1 <= count <= 64:
        raise BundleError(f"model specification: num_layers is {count!r}, expected 1 to 64")
    layers: list[dict[str, Any]] = []
    for k in range(count):
        lstm: dict[str, Any] = {"type": "lstm", "units": units}
        wrapped = {"type": "both-ways", "layer": lstm} if old.get("bidirectional") else lstm
        layers.append({**wrapped, "name": f"lstm{k}", "inputs": [f"lstm{k - 1}" if k else "x"]})
    outputs = len(old.get("classes") or ()) or max(old.get("horizon", 0), 1) * len(old["targets"])
    head = {"type": "dense", "name": "head", "units": outputs, "inputs": [f"lstm{count - 1}"]}
    return [*layers, head]


def _answer(old: Mapping[str, Any]) -> dict[str, Any]:
    task = old["task"]
    if task in ("classify", "language"):
        return {"task": task, "classes": old["classes"]}
    found = {new: old[key] for key, new in _ANSWER.items() if key in old}
    answer = {"task": task, "targets": old["targets"], **found}
    if task == "regress":
        answer.pop("horizon", None)
        return answer
    answer["residual"] = old.get("residual", False)
    if old.get("anomaly_scale"):
        keys = ("centre", "scale", "threshold", "smoothing")
        found = {k: old[f"anomaly_{k}"] for k in keys if f"anomaly_{k}" in old}
        answer["detector"] = {"threshold": 0.0, **found}
    return answer


def renamed(arrays: Mapping[str, T]) -> dict[str, T]:
    """Weights and int8 weights by their names in format 2: layer0.step_x -> lstm0.W_x.step."""

    def new(name: str) -> str:
        name = re.sub(r"^layer(\d+)\.", r"lstm\1.", name)
        return re.sub(r"\.step_([xh])$", r".W_\1.step", name)

    return {new(name): array for name, array in arrays.items()}


def arrays(member: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays of a member, by their names in format 2."""
    if member != "calibration.npz":
        return renamed(found)
    named = {"x": found["x"]}
    for part in "hc":  # (N, layers, H)
        if part in found:
            count = found[part].shape[1]
            named |= {f"lstm{k}.{part}": found[part][:, k] for k in range(count)}
    return named
