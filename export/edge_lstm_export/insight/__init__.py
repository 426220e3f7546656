"""Looking inside a trained model.

Its gates, the memory of its cell, which channels or how much context matters, how far back its
gradient reaches. Each look is one module: a function that measures, and a frozen dataclass with the
figures, `to_dict()` for JSON and `sentences()`, which say in plain words what they show for this
model.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from edge_lstm import Run, Sequence, load_run
from edge_lstm.threads import one
from edge_lstm_runtime import ConfigError, ModelSpec
from edge_lstm_runtime.inputs.characters import Characters

from .channels import Channels, measure_channels
from .context import Context, measure_context
from .gates import Gates, measure_gates
from .gradients import Gradients, measure_gradients
from .memory import Memory, measure_memory
from .recording import longest, lstm_layers, read_recording


@dataclasses.dataclass(frozen=True)
class Inside:
    """All looks at one run.

    channels: None for a language model, and if no target changes. context: None for any other.
    """

    run: Run
    gates: Gates
    memory: Memory
    channels: Channels | None
    context: Context | None
    gradients: Gradients

    @property
    def spec(self) -> ModelSpec:
        return self.run.spec

    @property
    def looks(self) -> dict[str, Gates | Memory | Channels | Context | Gradients]:
        """Those that there are, in the order in which they are shown."""
        found = {
            name: getattr(self, name)
            for name in ("gates", "memory", "channels", "context", "gradients")
        }
        return {name: look for name, look in found.items() if look is not None}

    def to_dict(self) -> dict[str, Any]:
        """The figures, ready for JSON; layers in order, the first one reads the samples."""
        found = {
            name: {**look.to_dict(), "sentences": look.sentences()}
            for name, look in self.looks.items()
        }
        return {
            "run": str(self.run.path),
            "task": self.run.config.model.task,
            "units": [layer.units for layer in lstm_layers(self.spec)],
            **found,
        }


@one()
def inspect_run(run: Run | str | Path, recording: str | Path | None = None) -> Inside:
    """Look inside the best checkpoint of a run.

    recording: a CSV of samples in raw units, or a text for a language model. The cell's memory is
    shown on it. If it is left out, the longest sequence of the test split is taken. Raises
    ConfigError for a bidirectional model, and for any other network than LSTM layers one after the
    other and a dense head. Raises TrainingError for a folder that is no run, and DataError if the
    run's data is not there any more or the recording can't be read.
    """
    if not isinstance(run, Run):
        run = load_run(run)
    if run.spec.whole:
        raise ConfigError(
            f"{run.path}: the model is bidirectional, and inspect follows one state through time, "
            "in one direction; train with `bidirectional = false` to look inside"
        )
    lstm_layers(run.spec)  # first: it may refuse the network
    shown: Sequence = (
        longest(run.splits.test) if recording is None else read_recording(run, Path(recording))
    )
    memory = measure_memory(run.spec, run.weights, shown)  # then: it may refuse the recording
    text = isinstance(run.spec.inputs, Characters)
    return Inside(
        run=run,
        gates=measure_gates(run.spec, run.weights, run.splits.test),
        memory=memory,
        channels=None if text else measure_channels(run),
        context=measure_context(run) if text else None,
        gradients=measure_gradients(run),
    )


__all__ = ["Channels", "Context", "Gates", "Gradients", "Inside", "Memory", "inspect_run"]
