"""The model specification: everything but the weights that trainer, exporter and board must agree on."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import BundleError
from ..inputs.front_end import FrontEnd

Task = Literal["classify", "forecast", "regress", "language"]
VOCABULARY = ("classify", "language")  # tasks whose answer is a logit for each of `classes`
Missing = Literal["refuse", "ffill", "mask"]
UNKNOWN = (
    "<unk>"  # task "language": the class of every character that the training text doesn't have
)
MAX_LAYERS = 4
LARGEST = 1e30  # of a mean, a deviation, an offset, a scale: sums and products of them with samples stay far from overflow
SMALLEST_STD = 1e-30
SINCE = ("front_end", "anomaly_", "dt", "time")  # how the fields that came later begin


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """A compact LSTM: `num_layers` LSTM layers of `hidden_size` units and a dense head.

    channels       names of the raw input values of one sample, in order; C of them
    input_mean     (C,) raw units; statistics of the training split only
    input_std      (C,) raw units, all >= 1e-30
    missing        what a NaN in a sample means: "refuse" it, take the channel's last value ("ffill"; its
                   mean before the first one), or 0 after normalisation plus C more features that
                   are 1 where a value is missing ("mask")
    classes        task "classify": names of the classes, in the order of the outputs; task "language": the characters, the answer being
                   the next one; the one channel's raw value is an index into them, and the features are that index, one-hot
    targets        task "forecast": names of the forecast channels; task "regress": names of the quantities that each answer gives
    horizon        task "forecast": steps ahead; output k * len(targets) + j is targets[j] at step t + 1 + k
    output_offset  (O,) and output_scale (O,): answer in raw units = offset + scale * network output;
                   empty for "classify" and "language", where the answer is the logits
    residual       task "forecast": the forecast is the target's value now plus that answer
    bidirectional  task "classify": each layer reads the sequence from both ends, so an answer needs the whole of it
    front_end      how PCM becomes the channels, which then are its coefficients; None where samples come from elsewhere
    anomaly_centre, anomaly_scale  task "forecast": (O,) raw units, the median of each output's errors on the training split, and their
                   spread; empty where the model is no anomaly detector (`anomaly.AnomalyDetector`)
    anomaly_threshold  a score above it is an anomaly
    anomaly_smoothing  0 to 1, the weight of a sample's own score beside the average of those before; 1 for no average
    dt             the channel, if any, that is the time since the sample before in seconds, 0 for the first; its feature is made of
                   log(1 + dt / dt_unit), of which its input_mean and input_std are
    dt_unit        seconds
    time           with `dt`: the column of times from which `edge-lstm run` works it out
    """

    task: Task
    channels: tuple[str, ...]
    hidden_size: int
    num_layers: int
    input_mean: tuple[float, ...]
    input_std: tuple[float, ...]
    missing: Missing = "refuse"
    classes: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    horizon: int = 0
    output_offset: tuple[float, ...] = ()
    output_scale: tuple[float, ...] = ()
    residual: bool = False
    bidirectional: bool = False
    front_end: FrontEnd | None = None
    anomaly_centre: tuple[float, ...] = ()
    anomaly_scale: tuple[float, ...] = ()
    anomaly_threshold: float = 0.0
    anomaly_smoothing: float = 1.0
    dt: str = ""
    dt_unit: float = 1.0
    time: str = ""

    def __post_init__(self) -> None:
        def require(condition: bool, what: str) -> None:
            if not condition:
                raise BundleError(f"model specification: {what}")

        # Types first: a specification comes from a JSON file, and 8.0, "8" and true pass many a comparison.
        for name in ("hidden_size", "num_layers", "horizon"):
            require(
                type(getattr(self, name)) is int,
                f"{name} is {getattr(self, name)!r}, expected a whole number",
            )
        for name in ("channels", "classes", "targets"):
            names = getattr(self, name)
            require(
                isinstance(names, tuple) and all(isinstance(n, str) for n in names),
                f"{name} is {names!r}, expected a list of names",
            )
            require(len(set(names)) == len(names), f"{name} repeat a name: {names}")
        for name in (
            "input_mean",
            "input_std",
            "output_offset",
            "output_scale",
            "anomaly_centre",
            "anomaly_scale",
        ):
            values = getattr(self, name)
            numbers = isinstance(values, tuple) and all(
                type(v) in (int, float) and abs(v) <= LARGEST for v in values
            )
            require(
                numbers,
                f"{name} is {values!r}, expected a list of finite numbers up to {LARGEST:g}",
            )
        for name in ("residual", "bidirectional"):
            require(
                isinstance(getattr(self, name), bool),
                f"{name} is {getattr(self, name)!r}, expected true or false",
            )
        require(
            self.task in get_args(Task), f"task is {self.task!r}, expected one of {get_args(Task)}"
        )
        require(
            self.missing in get_args(Missing),
            f"missing is {self.missing!r}, expected one of {get_args(Missing)}",
        )
        require(len(self.channels) > 0, "no input channels")
        require(
            1 <= self.num_layers <= MAX_LAYERS,
            f"num_layers is {self.num_layers}, expected 1 to {MAX_LAYERS}",
        )
        require(self.hidden_size >= 1, f"hidden_size is {self.hidden_size}, expected at least 1")
        for name in ("input_mean", "input_std"):
            values = getattr(self, name)
            require(
                len(values) == len(self.channels),
                f"{name} has {len(values)} values for {len(self.channels)} channels",
            )
        require(
            all(v >= SMALLEST_STD for v in self.input_std),
            f"input_std is {self.input_std}, expected at least {SMALLEST_STD:g}",
        )
        if self.task == "classify":
            require(len(self.classes) >= 2, f"{len(self.classes)} classes, expected at least 2")
        if self.task == "language":
            self._check_language(require)
        if self.task == "forecast":
            require(self.horizon >= 1, f"horizon is {self.horizon}, expected at least 1")
            require(
                not self.bidirectional,
                "bidirectional is for task 'classify': a forecast would read the future that it is to tell",
            )
            absent = [t for t in self.targets if t not in self.channels]
            require(
                not absent, f"targets {absent} are not among the channels {list(self.channels)}"
            )
        else:
            require(not self.residual, "residual is for task 'forecast'")
        if self.task in ("regress", "language"):
            require(
                self.horizon == 0,
                f"horizon is {self.horizon}; it is for task 'forecast', expected 0",
            )
        if self.task == "regress":
            require(not self.bidirectional, "bidirectional is for task 'classify'")
        if self.task not in VOCABULARY:
            require(len(self.targets) >= 1, f"no targets to {self.task}")
            for name in ("output_offset", "output_scale"):
                values = getattr(self, name)
                require(
                    len(values) == self.output_size,
                    f"{name} has {len(values)} values, expected {self.output_size}",
                )
        if self.front_end is not None:
            require(
                isinstance(self.front_end, FrontEnd),
                f"front_end is {self.front_end!r}, expected a FrontEnd",
            )
            names = self.front_end.names
            require(
                self.channels == names,
                f"channels are {list(self.channels)}, and the front end makes {list(names)}",
            )
        self._check_detector(require)
        self._check_dt(require)

    def _check_detector(self, require: Callable[[bool, str], None]) -> None:
        if self.anomaly_centre or self.anomaly_scale:
            require(
                self.task == "forecast",
                f"anomaly_scale is for task 'forecast', and task is {self.task!r}",
            )
            for name in ("anomaly_centre", "anomaly_scale"):
                values = getattr(self, name)
                require(
                    len(values) == self.output_size,
                    f"{name} has {len(values)} values, expected {self.output_size}",
                )
            smallest = min(self.anomaly_scale)
            require(
                smallest >= SMALLEST_STD,
                f"anomaly_scale has {smallest}, expected at least {SMALLEST_STD:g}",
            )
        for name, least, most in (
            ("anomaly_threshold", 0.0, LARGEST),
            ("anomaly_smoothing", SMALLEST_STD, 1.0),
        ):
            value = getattr(self, name)
            require(
                type(value) in (int, float) and least <= value <= most,
                f"{name} is {value!r}, expected {least:g} to {most:g}",
            )

    def _check_dt(self, require: Callable[[bool, str], None]) -> None:
        for name in ("dt", "time"):
            require(
                isinstance(getattr(self, name), str),
                f"{name} is {getattr(self, name)!r}, expected a name",
            )
        if self.dt:
            require(
                self.dt in self.channels,
                f"dt is {self.dt!r}, which is not among the channels {list(self.channels)}",
            )
            require(
                self.dt not in self.targets,
                f"dt is {self.dt!r}, which is among the targets {list(self.targets)}",
            )
            require(self.time not in self.channels, f"time is {self.time!r}, which is a channel")
        unit = self.dt_unit
        require(
            type(unit) in (int, float) and SMALLEST_STD <= unit <= LARGEST,
            f"dt_unit is {unit!r}, expected {SMALLEST_STD:g} or more",
        )

    def _check_language(self, require: Callable[[bool, str], None]) -> None:
        require(
            len(self.classes) >= 2,
            f"{len(self.classes)} characters in classes, expected at least 2",
        )
        odd = [c for c in self.classes if len(c) != 1 and c != UNKNOWN]
        require(
            not odd,
            f"classes {odd} are no characters; expected one character each, and {UNKNOWN!r} at most once besides",
        )
        require(
            len(self.channels) == 1,
            f"channels are {list(self.channels)}; task 'language' has one, the index of a character",
        )
        require(
            self.missing == "refuse",
            f"missing is {self.missing!r}; a character can't be filled in, expected 'refuse'",
        )
        require(
            (self.input_mean, self.input_std) == ((0.0,), (1.0,)),
            "input_mean and input_std are expected to be 0 and 1 for an index",
        )
        require(
            not self.bidirectional,
            "bidirectional is for task 'classify': it would read the characters that it is to tell",
        )
        for name in ("targets", "output_offset", "output_scale", "dt"):
            require(not getattr(self, name), f"{name} is not for task 'language', expected none")

    @property
    def input_size(self) -> int:
        """C, the raw values in a sample."""
        return len(self.channels)

    @property
    def target_channels(self) -> list[int]:
        """Task "forecast": the places of the targets among the channels."""
        return [self.channels.index(t) for t in self.targets]

    @property
    def raw_mean(self) -> tuple[float, ...]:
        """(C,) `input_mean` with `dt` in seconds too."""
        return tuple(
            self.dt_unit * math.expm1(m) if c == self.dt else m
            for c, m in zip(self.channels, self.input_mean, strict=True)
        )

    @property
    def feature_size(self) -> int:
        """F, the values that enter the first LSTM layer: C, or 2 C with a mask; task "language": one for each character."""
        if self.task == "language":
            return len(self.classes)
        return self.input_size * (2 if self.missing == "mask" else 1)

    @property
    def output_size(self) -> int:
        """O, the network's outputs per step."""
        return (
            len(self.classes)
            if self.task in VOCABULARY
            else max(self.horizon, 1) * len(self.targets)
        )

    @property
    def output_names(self) -> tuple[str, ...]:
        """(O,) the class names, the characters, the targets, or, of a forecast, "target+steps"."""
        if self.task != "forecast":
            return self.classes if self.task in VOCABULARY else self.targets
        return tuple(f"{t}+{k}" for k in range(1, self.horizon + 1) for t in self.targets)

    @property
    def directions(self) -> int:
        """In which each layer reads the sequence: 1, or 2 with "bidirectional"."""
        return 2 if self.bidirectional else 1

    def layer_input_size(self, layer: int) -> int:
        return self.feature_size if layer == 0 else self.directions * self.hidden_size

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the canonical weights; see `layout` for what stands where in them."""
        shapes: dict[str, tuple[int, ...]] = {}
        gates = 4 * self.hidden_size
        for k in range(self.num_layers):
            for prefix in (f"layer{k}", f"layer{k}.reverse")[: self.directions]:
                shapes[f"{prefix}.W_x"] = (self.layer_input_size(k), gates)
                shapes[f"{prefix}.W_h"] = (self.hidden_size, gates)
                shapes[f"{prefix}.b"] = (gates,)
        shapes["head.W"] = (self.directions * self.hidden_size, self.output_size)
        shapes["head.b"] = (self.output_size,)
        return shapes

    def check_weights(self, weights: Mapping[str, NDArray[Any]]) -> None:
        """Raise BundleError unless `weights` are finite float32 arrays of the names and shapes of `weight_shapes`."""
        expected = self.weight_shapes()
        if set(weights) != set(expected):
            raise BundleError(f"weights are {sorted(weights)}, expected {sorted(expected)}")
        for name, shape in expected.items():
            array = weights[name]
            if array.shape != shape or array.dtype != np.float32:
                raise BundleError(
                    f"weight {name} is {array.dtype}{array.shape}, expected float32{shape}"
                )
            if not np.isfinite(array).all():
                raise BundleError(f"weight {name} has values that are not finite")

    @property
    def parameters(self) -> int:
        return sum(math.prod(shape) for shape in self.weight_shapes().values())

    @property
    def macs_per_step(self) -> int:
        """Multiply-accumulates of one step: every matrix entry once, and three products per unit in the cell."""
        matrices = sum(math.prod(s) for s in self.weight_shapes().values() if len(s) == 2)
        return matrices + 3 * self.hidden_size * self.num_layers * self.directions

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it, without what came later and has no use here: a runtime that doesn't know it then reads the model too."""
        unused = {
            f.name
            for f in dataclasses.fields(self)
            if f.name.startswith(SINCE) and getattr(self, f.name) == f.default
        }
        return {
            k: list(v) if isinstance(v, tuple) else v
            for k, v in dataclasses.asdict(self).items()
            if k not in unused
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelSpec:
        """Raise BundleError on a key that is missing, unknown or of the wrong kind."""
        fields = {f.name: f for f in dataclasses.fields(cls)}
        unknown = sorted(set(values) - set(fields))
        if unknown:
            raise BundleError(f"model specification has unknown keys {unknown}")
        try:
            arguments: dict[str, Any] = {
                k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
            }
            if isinstance(arguments.get("front_end"), Mapping):
                arguments["front_end"] = FrontEnd.from_dict(arguments["front_end"])
            return cls(**arguments)
        except TypeError as e:
            raise BundleError(f"model specification is malformed: {e}") from e
