"""What a sample is in C: double, or float or int16_t for a CPU that has no double.

In float the step never computes in double. The mean is two floats, so a large mean costs nothing.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime import ConfigError, ConversionError, ModelSpec
from edge_lstm_runtime.inputs.channels import Channels

from .derived import derived_tables

Float64 = NDArray[np.float64]
KINDS = ("double", "float", "int16")
GAP = -(2**15)  # in int16 stands for a value that is missing, if the model takes such samples
LARGEST = 2**15 - 1


@dataclasses.dataclass(frozen=True)
class Samples:
    """kind: of KINDS. scale: raw units in one count of int16, for each channel or one for all."""

    kind: str = "double"
    scale: tuple[float, ...] = ()

    @property
    def type(self) -> str:
        return "int16_t" if self.kind == "int16" else self.kind

    @property
    def single(self) -> bool:
        return self.kind != "double"

    @property
    def bytes(self) -> int:
        return {"double": 8, "float": 4, "int16": 2}[self.kind]

    def scales(self, channels: int) -> Float64:
        """(channels,) rounded to float, as they stand in C. Raises ConversionError."""
        given = self.scale or (1.0,)
        if len(given) not in (1, channels):
            raise ConversionError(
                f"the sample scale has {len(given)} numbers and the model {channels} channels; "
                "give one for each channel, or one for all"
            )
        found = np.broadcast_to(np.array(given, np.float32).astype(np.float64), (channels,))
        return np.array(found)

    def counts(self, samples: Float64) -> Float64:
        """(steps, C) raw units -> whole numbers, NaN for what is missing."""
        return np.round(samples / self.scales(samples.shape[1]))

    def taken(self, samples: Float64) -> Float64:
        """(steps, C) raw units -> the raw units that a sample in C stands for."""
        if self.kind == "int16":
            return self.counts(samples) * self.scales(samples.shape[1])
        return samples.astype(np.float32).astype(np.float64) if self.single else samples

    def written(self, samples: Float64) -> list[list[float | int]]:
        """(steps, C) raw units -> the numbers in C. They are exact if `taken` made the samples."""
        if self.kind != "int16":
            return samples.tolist()  # type: ignore[no-any-return]
        return np.nan_to_num(self.counts(samples), nan=GAP).astype(int).tolist()  # type: ignore[no-any-return]

    def to_dict(self) -> dict[str, Any]:
        return {"type": self.kind} | ({"scale": list(self.scale)} if self.scale else {})


DOUBLE = Samples()


def check_samples(samples: Samples) -> None:
    """Raises ConfigError for a kind that is not offered, or a scale that is none."""
    if samples.kind not in KINDS:
        raise ConfigError(f"sample {samples.kind!r} is unknown; expected one of {', '.join(KINDS)}")
    if samples.scale and samples.kind != "int16":
        raise ConfigError(
            f"a sample scale is for int16 samples, and these are {samples.kind}; leave it out"
        )
    for scale in samples.scale:
        if not (math.isfinite(scale) and 1e-30 < scale < 1e30):
            raise ConfigError(
                f"sample scale {scale!r}: expected the raw units of one count, above 0"
            )


def check_taken(spec: ModelSpec, samples: Samples, stream: Float64) -> None:
    """Raises ConversionError if the model's samples can't be of this kind.

    stream: (steps, C) raw units, some of the data.
    """
    if not samples.single:
        return
    reason = _double(spec)
    if reason:
        raise ConversionError(
            f"--sample {samples.kind}: {reason} in double; leave it out, or take --sample double"
        )
    if samples.kind != "int16":
        return
    assert isinstance(spec.inputs, Channels)
    counts = samples.counts(stream)
    scales = samples.scales(spec.input_size)
    for k, name in enumerate(spec.inputs.names):
        largest = np.nanmax(np.abs(counts[:, k]), initial=0.0)
        std = spec.inputs.std[k]
        if largest > LARGEST:
            raise ConversionError(
                f"channel {name!r} reaches {np.nanmax(np.abs(stream[:, k])):.6g}, and int16 ends "
                f"at {LARGEST * scales[k]:.6g} with a scale of {scales[k]:.6g}; "
                "state a larger --sample-scale"
            )
        if scales[k] > std / 4:
            raise ConversionError(
                f"channel {name!r} has a deviation of {std:.6g}, and a count of int16 is "
                f"{scales[k]:.6g}; state a --sample-scale of at most {std / 4:.3g}"
            )


def _double(spec: ModelSpec) -> str:
    """What of the model is computed in double, or an empty text."""
    inputs = spec.inputs
    if not isinstance(inputs, Channels):
        return "a character is an index"
    if inputs.sound:
        return "frames of sound are"
    if derived_tables(inputs) is not None:
        return "transforms are"
    if inputs.elapsed:
        return "elapsed time is"
    if spec.detector:
        return "scores of anomalies are"
    scaling = spec.answer.scaling(inputs)
    if scaling is not None and not scaling.linear:
        return "quantiles, bounds and logarithmic scales are"
    return ""


def single_tables(spec: ModelSpec, samples: Samples) -> dict[str, list[float]] | None:
    """The constants of single.c.j2, or None for double."""
    if not samples.single:
        return None
    inputs = spec.inputs
    assert isinstance(inputs, Channels)
    whole = samples.kind == "int16"
    scale = samples.scales(inputs.size) if whole else np.ones(inputs.size)
    mean = np.array(inputs.mean) / scale
    std = np.array(inputs.std)
    near = np.round(mean) if whole and np.abs(mean).max() < 2**24 else mean.astype(np.float32)
    found = {
        "near": near.astype(np.float64),
        "far": mean - near,
        "rate": scale / std,
        "scale": scale,
    }
    scaling = spec.answer.scaling(inputs)
    if scaling is not None:
        base = scaling.offset
        if scaling.residual is not None:
            base = base + np.array(inputs.mean)[scaling.residual]
            found["share"] = std[scaling.residual]
        found["base"] = base.astype(np.float32).astype(np.float64)
        found["rest"] = base - found["base"]
        found["spread"] = scaling.scale
    return {name: values.tolist() for name, values in found.items()}
