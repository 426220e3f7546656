"""The model specification: all that trainer, exporter and board share, but for the weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import BundleError
from ..inputs import Inputs
from ..inputs.channels import Channels
from ..inputs.characters import Characters
from ..inputs.frames import Frames
from ..inputs.front_end import FrontEnd
from ..inputs.text import TextForm
from ..inputs.transforms import transform_from
from ..plain import changed
from ..shown import counted
from ..tasks import Answer, answer_from
from .network import Network, network_from
from .step_graph import step_graph_from

INPUTS: dict[str, type[Inputs]] = {kind.kind: kind for kind in (Channels, Characters)}


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """inputs   from a raw sample to features
    network  from features to outputs: layers of ours, or a `StepGraph`
    answer   the meaning of the outputs

    Raises BundleError if the three don't fit together.

    >>> import edge_lstm_runtime as rt
    >>> spec = rt.load("mine.edge").spec
    >>> spec
    ModelSpec(classify: 3 channels -> lstm 8 -> 2 classes)
    >>> spec.summary
    'classify: 3 channels -> lstm 8 -> 2 classes'
    >>> spec.input_size, spec.feature_size, spec.output_size  # C, F and O
    (3, 3, 2)
    >>> spec.features([[0.1, 0.2, 9.8]]).shape  # (steps, C) -> (steps, F)
    (1, 3)
    >>> spec.whole, spec.detector  # it answers single steps, and watches for no anomalies
    (False, None)
    >>> rt.ModelSpec.from_dict(spec.to_dict()) == spec
    True
    """

    inputs: Inputs
    network: Network
    answer: Any  # an Answer of any task: each task's own code knows its fields

    def __post_init__(self) -> None:
        if self.network.features != self.inputs.feature_size:
            raise BundleError(
                f"network: takes {self.network.features} features, "
                f"and the inputs make {self.inputs.feature_size}"
            )
        self.answer.check(self.inputs, self.network)

    def __repr__(self) -> str:
        return f"ModelSpec({self.summary})"

    @property
    def summary(self) -> str:
        """The task, the inputs, the layers and the answers, in a line."""
        answer = self.answer
        layers = [layer.title for layer in self.network.layers[:-1]]
        if self.network.opaque:
            layers = ["opaque step graph"]
        values = "character" if answer.text else "channel"
        told = ("characters" if answer.text else "classes") if answer.logits else "answers"
        outputs = f"{self.output_size} {told}"
        chain = " -> ".join([counted(self.input_size, values), *layers, outputs])
        return f"{answer.task}: {chain}"

    @property
    def input_size(self) -> int:
        """C, the raw values in a sample."""
        return self.inputs.size

    @property
    def feature_size(self) -> int:
        """F, the values that enter the network."""
        return self.inputs.feature_size

    @property
    def output_size(self) -> int:
        """O, the network's outputs per step."""
        size: int = self.answer.size
        return size

    @property
    def whole(self) -> bool:
        """Whether an answer needs the whole sequence: the model is bidirectional."""
        return self.network.whole

    @property
    def detector(self) -> Any:
        """The `tasks.forecast.Detector`; None if the model is no anomaly detector."""
        return getattr(self.answer, "detector", None)

    def features(self, xs: ArrayLike) -> NDArray[np.float64]:
        """xs: (steps, C) raw units, from the start of a recording -> (steps, F) float64.

        Raises SampleError for samples that can't be used.
        """
        return self.inputs.features(xs)[0]

    def to_dict(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "inputs": self.inputs.to_dict(),
            "network": self.network.to_json(),
            "answer": plain_answer(self.answer),
        }

    @classmethod
    def from_dict(cls, values: object) -> ModelSpec:
        """The inverse of `to_dict`.

        Raises BundleError for a key that is missing, unknown or of the wrong kind.
        """
        parts = {"inputs", "network", "answer"}
        if not isinstance(values, Mapping) or set(values) != parts:
            found = sorted(values) if isinstance(values, Mapping) else repr(values)
            raise BundleError(f"model specification has {found}, expected {sorted(parts)}")
        inputs = inputs_from(values["inputs"])
        described = values["network"]
        network = (
            step_graph_from(inputs.feature_size, described)
            if isinstance(described, Mapping) and "kind" in described
            else network_from(inputs.feature_size, described)
        )
        return cls(inputs, network, answer_from(values["answer"]))


def plain_answer(answer: Answer) -> dict[str, Any]:
    """As a JSON object, without the fields that have their default value."""
    return {"task": answer.task, **changed(answer)}


def inputs_from(values: object) -> Inputs:
    """The inverse of `Inputs.to_dict`. Raises BundleError."""
    kind = values.get("kind") if isinstance(values, Mapping) else None
    if not isinstance(values, Mapping) or not isinstance(kind, str) or kind not in INPUTS:
        expected = ", ".join(INPUTS)
        raise BundleError(f"inputs: kind is {kind!r}, expected one of {expected}")
    given: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k != "kind"
    }
    for name, sound in (("front_end", FrontEnd), ("frames", Frames)):
        if isinstance(made := values.get(name), Mapping):
            given[name] = sound.from_dict(made)
    if isinstance(listed := values.get("transforms"), list):
        given["transforms"] = tuple(map(transform_from, listed))
    if isinstance(text := values.get("text"), Mapping):
        given["text"] = _text_from(text)
    known = {f.name for f in dataclasses.fields(INPUTS[kind])}
    if unknown := sorted(set(given) - known):
        raise BundleError(f"inputs: has unknown keys {unknown}; {kind} has {sorted(known)}")
    try:
        return INPUTS[kind](**given)
    except TypeError as e:
        raise BundleError(f"inputs: is malformed: {e}") from e


def _text_from(values: Mapping[str, Any]) -> TextForm:
    try:
        return TextForm.from_dict(values)
    except TypeError as e:
        raise BundleError(f"inputs: text is malformed: {e}") from e


def describe(spec: ModelSpec, answer: NDArray[Any]) -> dict[str, Any]:
    """An answer (O,) as a JSON object: label and probabilities, a forecast, or values.

    >>> import edge_lstm_runtime as rt
    >>> model = rt.load("mine.edge")
    >>> with model.session() as s:
    ...     answer = s.step([0.1, 0.2, 9.8])  # (O,) float32, here logits
    >>> sorted(rt.describe(model.spec, answer))
    ['label', 'probabilities']
    """
    described: dict[str, Any] = spec.answer.describe(answer)
    return described
