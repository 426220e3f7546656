"""A run's answers to data that it hasn't seen: as decisions, probabilities and metrics."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.errors import DataError
from edge_lstm_runtime.model.spec import ModelSpec

from ..data.in_frames import is_frame, polars_frame
from ..data.in_memory import Given, given
from ..data.recordings import Recording, Sequence
from ..tasks.base import task_of
from .metrics import evaluate

if TYPE_CHECKING:
    from ..config.schema import Config
    from ..network import CompactNet


@dataclasses.dataclass(frozen=True)
class Asked:
    """A trained model that is asked: the parts of a run that its answers need."""

    config: Config
    spec: ModelSpec
    model: CompactNet

    def decisions(self, data: Any) -> Any:
        """See `Run.predict`."""
        task = task_of(self.spec)
        return self._each(data, lambda answer: task.decided(self.spec, answer))

    def chances(self, data: Any) -> Any:
        """See `Run.predict_proba`."""
        task = task_of(self.spec)
        task.chances(self.spec, np.zeros((1, self.spec.output_size)))  # it may have none
        return self._each(data, lambda answer: task.chances(self.spec, answer))

    def metrics(self, data: Any, y: Any) -> dict[str, Any]:
        """See `Run.evaluate`."""
        numbers = None if y is None else not self.config.model.needs_labels
        found = self._given(data, y, numbers, answered=True)
        sequences = [self._sequence(r) for r in found.recordings]
        season = self.config.data.season
        return evaluate(self.spec, sequences, self._answers(found), season=season)

    def score(self, metrics: dict[str, Any]) -> float:
        """See `Run.score`."""
        return task_of(self.spec).score(metrics)

    def _each(self, data: Any, of: Callable[[NDArray[Any]], NDArray[Any]]) -> Any:
        found = self._given(data)
        made = [of(answer) for answer in self._answers(found)]
        if found.single:
            return made[0] if made[0].ndim else made[0][()]
        same = all(each.shape == made[0].shape for each in made)
        return np.stack(made) if same else made

    def _given(
        self, data: Any, y: Any = None, numbers: bool | None = None, *, answered: bool = False
    ) -> Given:
        """answered: whether a frame's answers are read. Raises DataError for other channels."""
        if is_frame(data):
            asked = self.config.asked
            frame = polars_frame(data)
            if y is not None:
                raise DataError("y is for arrays; the answers of a frame are columns of it")
            single = not getattr(self.config.data, "group", None)
            found = self.config.data.read_frame(frame, asked, answered=answered)
            return Given(found, single=single)
        arrays = given(data, y, numbers=numbers)
        width = arrays.recordings[0].x.shape[1]
        if width != self.spec.input_size:
            raise DataError(
                f"the recordings have {width} channels; expected {self.spec.input_size}: "
                f"{', '.join(self.spec.inputs.names)}"
            )
        return arrays

    def _answers(self, found: Given) -> list[NDArray[np.float32]]:
        from .answers import answers

        return answers(self.model, [Sequence(r.name, r.group, r.x) for r in found.recordings])

    def _sequence(self, recording: Recording) -> Sequence:
        """With the answers as the task learns them. Raises DataError if there are none."""
        section = self.config.model
        name = recording.name
        sequence = Sequence(name, recording.group, recording.x, y=recording.y)
        if not section.needs_labels:
            if section.FITS == "numbers" and recording.y is None:
                raise DataError("there is no y; expected the right answers, to compare with")
            return sequence
        if recording.labels is None:
            raise DataError("there is no y; expected the right classes, to compare with")
        classes = self.spec.answer.classes
        known = {str(label) for label in recording.labels} - {"", *classes}
        if known:
            raise DataError(
                f"recording {name}: the class {min(known)!r} is none of the model's: "
                f"{', '.join(classes)}"
            )
        indices = np.array([classes.index(c) if c else -1 for c in recording.labels], np.int64)
        if section.unlabelled_rows:
            return dataclasses.replace(sequence, labels=indices)
        if (indices != indices[0]).any():
            raise DataError(f"recording {name}: its class changes; expected one for all steps")
        return dataclasses.replace(sequence, label=int(indices[0]))
