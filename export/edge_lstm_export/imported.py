"""An imported net in the place of a trained run: the same steps export both."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from edge_lstm import evaluate
from edge_lstm.data.recordings import Sequence, Splits
from edge_lstm_runtime import ModelSpec
from edge_lstm_runtime.errors import BundleError, ConversionError
from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.tasks.values import Values

from .importers import Float32, Floats, Foreign, importer_of
from .importers._proof import prove
from .importers._samples import made, samples_of

SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}  # of the samples, in their order
LEAST = 10  # samples


@dataclasses.dataclass(frozen=True)
class Imported:
    """Has what a `Run` has and an export needs.

    path      the file of the net
    samples   (T, F) raw units
    answers   (T, O) of the original, from the zero state at the start of the samples
    synthetic whether the samples were made
    """

    path: Path
    foreign: Foreign
    samples: Float32
    answers: Floats
    notes: tuple[str, ...]
    synthetic: bool
    imported: ClassVar[bool] = True
    history: tuple[()] = ()
    season: None = None
    w8a8: dict[str, Float32] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def spec(self) -> ModelSpec:
        network = self.foreign.network
        count = network.features
        inputs = self.foreign.inputs or tuple(f"x{k}" for k in range(count))
        outputs = self.foreign.outputs or tuple(f"y{k}" for k in range(network.outputs))
        channels = Channels(inputs, (0.0,) * count, (1.0,) * count)
        return ModelSpec(channels, network, Values(outputs))

    @property
    def weights(self) -> dict[str, Float32]:
        return self.foreign.weights

    @property
    def measured_by(self) -> tuple[str, str]:
        return self.foreign.original.tool, "the original"

    @property
    def origin(self) -> str:
        """For a report: where the net is from."""
        return f"{self.path.name}, imported; proved against {self.foreign.original.tool}"

    @functools.cached_property
    def splits(self) -> Splits:
        """The samples in parts, each with the original's answers from its own start."""
        borders = np.cumsum([0, *SHARES.values()]) * len(self.samples)
        parts: dict[str, Any] = {}
        for part, start, stop in zip(SHARES, borders[:-1], borders[1:], strict=True):
            xs = self.samples[round(start) : round(stop)]
            last = self.foreign.network.layers[-1].name
            y = self.foreign.original.run(xs)[last].astype(np.float64)
            parts[part] = [Sequence(part, part, xs.astype(np.float64), y=y)]
        return Splits(**parts, channels=self.spec.inputs.names)

    @functools.cached_property
    def metrics(self) -> dict[str, Any]:
        """Of the original beside itself."""
        test = self.splits.test
        answers = [np.asarray(s.y) for s in test]
        return {"test": evaluate(self.spec, test, answers), "notes": list(self.notes)}


def import_net(model: str | Path, samples: str | Path | None = None) -> Imported:
    """Read a net that another tool trained, and prove that it is the same here.

    samples: (T, F) in a .npy or .csv file. None: they are made, and a note says so. Raises
    ConversionError for a file that can't be read, for a part that can't be taken, and for a net
    that answers otherwise here than in its own tool.
    """
    path = Path(model)
    if not path.is_file():
        raise ConversionError(f"{path}: there is no such file")
    return imported(importer_of(path).read(path), path, samples)


def imported(foreign: Foreign, path: Path, samples: Float32 | str | Path | None) -> Imported:
    """A net that was read, once it is proved to be the same here.

    path: of its file, for messages and reports. samples: (T, F), or a file of them. None: they are
    made, and a note says so. Raises ConversionError.
    """
    network = foreign.network
    try:
        network.check_weights(foreign.weights)
    except BundleError as e:
        raise ConversionError(f"{path}: {e}") from e
    notes = foreign.notes
    if samples is None:
        xs = made(network.features)
        notes += (
            f"The samples are synthetic: {len(xs):,} steps of the standard normal distribution. "
            "All figures are theirs. Give real ones by --samples",
        )
    else:
        xs = samples_of(samples, network.features)
    if len(xs) < LEAST:
        source = "samples" if isinstance(samples, np.ndarray) else samples
        raise ConversionError(f"{source}: has {len(xs)} samples, expected {LEAST} or more")
    return Imported(path, foreign, xs, prove(foreign, xs), notes, samples is None)
