"""An imported net in the place of a trained run: the same steps export both."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from edge_lstm import evaluate
from edge_lstm.data.recordings import Sequence, Splits
from edge_lstm_runtime import ModelSpec
from edge_lstm_runtime.digest import sha256
from edge_lstm_runtime.errors import BundleError, ConversionError
from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.inputs.frames import Frames
from edge_lstm_runtime.shown import counted
from edge_lstm_runtime.tasks.values import Values

from .graphs.step import StepModel
from .importers import Float32, Floats, Foreign, importer_of
from .importers._proof import prove
from .importers._proof_step import prove_step
from .importers._samples import check_counts, made, samples_of
from .importers._sound import NOTHING, Heard, heard

SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}  # of the samples, in their order
LEAST = 10  # samples
PARTS = 5  # so many whole sequences at least, so that each part of the samples has one


@dataclasses.dataclass(frozen=True)
class Imported:
    """Has what a `Run` has and an export needs.

    path      the file of the net
    samples   (T, F) raw units
    answers   (T, O) of the original, from the zero state at the start of the samples
    synthetic whether the samples were made
    frames    how sound becomes samples, None if they are no sound
    """

    path: Path
    foreign: Foreign
    samples: Float32
    answers: Floats
    notes: tuple[str, ...]
    synthetic: bool
    imported: ClassVar[bool] = True
    frames: Frames | None = None
    history: tuple[()] = ()
    season: None = None
    w8a8: dict[str, Float32] = dataclasses.field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Imported({self.path.name!r}, {self.spec.summary})"

    @functools.cached_property
    def spec(self) -> ModelSpec:
        network = self.foreign.network
        count = network.features
        inputs = self.foreign.inputs or tuple(f"x{k}" for k in range(count))
        outputs = self.foreign.outputs or tuple(f"y{k}" for k in range(network.outputs))
        channels = Channels(inputs, (0.0,) * count, (1.0,) * count, frames=self.frames)
        return ModelSpec(channels, network, Values(outputs))

    @property
    def step(self) -> StepModel | None:
        return self.foreign.step

    @property
    def weights(self) -> dict[str, Float32]:
        return self.foreign.weights

    @property
    def measured_by(self) -> tuple[str, str]:
        return self.foreign.original.tool, "the original"

    @property
    def step_words(self) -> tuple[str, ...]:
        """What a step of sound is, in a sentence; () if the net reads no sound."""
        if self.frames is None:
            return ()
        rate, length, hop = dataclasses.astuple(self.frames)
        if length == 1:
            return (f"A step is one sample of sound at {rate} Hz.",)
        frame = f"A step is a frame of {length} samples at {rate} Hz"
        return (f"{frame}. The next one begins {hop} samples later.",)

    @property
    def origin(self) -> str:
        """For a report: where the net is from."""
        return f"{self.path.name}, imported; proved against {self.foreign.original.tool}"

    @property
    def provenance(self) -> dict[str, str]:
        """The net's file, if it was one, and its sha256."""
        if not self.path.is_file():
            return {"net": self.path.name}
        return {"net": self.path.name, "net_sha256": sha256(self.path.read_bytes())}

    @functools.cached_property
    def splits(self) -> Splits:
        """The samples in parts, each with the original's answers from its own start."""
        length = self.foreign.length
        unit = length or 1
        borders = np.rint(np.cumsum([0, *SHARES.values()]) * (len(self.samples) // unit)) * unit
        parts: dict[str, Any] = {}
        for part, start, stop in zip(SHARES, borders[:-1], borders[1:], strict=True):
            rows = self.samples[int(start) : int(stop)]
            parts[part] = [
                self._sequence(part, k, rows[k:][:length])
                for k in range(0, len(rows), length or len(rows))
            ]
        return Splits(**parts, channels=self.spec.inputs.names)

    def _sequence(self, part: str, start: int, xs: Float32) -> Sequence:
        last = self.foreign.network.output
        y = self.foreign.original.run(xs)[last].astype(np.float64)
        name = part if self.foreign.length is None else f"{part} {start // len(xs)}"
        return Sequence(name, name, xs.astype(np.float64), y=y)

    @functools.cached_property
    def metrics(self) -> dict[str, Any]:
        """Of the original beside itself."""
        test = self.splits.test
        answers = [np.asarray(s.y) for s in test]
        return {"test": evaluate(self.spec, test, answers), "notes": list(self.notes)}


def import_net(
    model: str | Path,
    samples: str | Path | None = None,
    states: Mapping[str, str] | None = None,
    *,
    hop: int | None = None,
    rate: int | None = None,
) -> Imported:
    """Read a net that another tool trained, and prove that it is the same here.

    samples: (T, F) in a .npy or .csv file, or sound in a .wav file (mono, 16-bit PCM), of which F
    samples are a frame and a step. None: they are made, and a note says so.
    states: of an ONNX file, input -> the output that holds it after the step. The others are found.
    rate: Hz. The net reads sound; a .wav file tells it itself. hop: samples from the start of a
    frame to that of the next, 1 to F. None for F.
    Raises ConversionError for a file that can't be read, for a part that can't be taken, and for a
    net that answers otherwise here than in its own tool.

    >>> import edge_lstm_export as ex
    >>> net = ex.import_net("net.onnx", "stream3.npy")  # a file of (T, F) float32
    >>> net
    Imported('net.onnx', values: 3 channels -> lstm 8 -> 2 answers)
    >>> net.answers.shape  # (T, O) of the original
    (200, 2)
    """
    path = Path(model)
    if not path.is_file():
        raise ConversionError(f"{path}: there is no such file")
    sound = heard(samples, hop, rate)
    importer = importer_of(path)
    if not states:
        return imported(importer.read(path), path, samples, sound)
    check_states(path, states)
    return imported(importer.read(path, states), path, samples, sound)


def check_states(path: Path, states: Mapping[str, str]) -> None:
    """Raise ConversionError if this kind of file has no states to name, or for one named twice."""
    if not hasattr(importer_of(path), "STATES"):
        raise ConversionError(
            f"{path}: states are named in ONNX files alone; here they are known, leave out --state"
        )
    after = list(states.values())
    for before, name in states.items():
        if after.count(name) > 1:
            raise ConversionError(
                f"--state {before}={name}: the output {name!r} is given twice, and holds one state"
            )


def imported(
    foreign: Foreign,
    path: Path,
    samples: Float32 | str | Path | None,
    sound: Heard = NOTHING,
) -> Imported:
    """A net that was read, once it is proved to be the same here.

    path: of its file, for messages and reports. samples, sound: (T, F), or a file of them, and what
    `heard` says of it. None: they are made, and a note says so. Raises ConversionError.
    """
    network = foreign.network
    try:
        network.check_weights(foreign.weights)
    except BundleError as e:
        raise ConversionError(f"{path}: {e}") from e
    frames = sound.frames(network.features, foreign.frames)
    xs, note, names = _samples(foreign, samples, sound, frames)
    if not foreign.inputs and frames is None and all(names):
        foreign = dataclasses.replace(foreign, inputs=names)
    notes = foreign.notes + ((note,) if note else ())
    source = "samples" if samples is None or isinstance(samples, np.ndarray) else str(samples)
    check_counts(xs, foreign.counts, source)
    least = LEAST
    if foreign.length is not None:
        least = PARTS * foreign.length
        xs = xs[: len(xs) // foreign.length * foreign.length]
    if len(xs) < least:
        raise ConversionError(
            f"{source}: has {counted(len(xs), 'sample')}, expected {least} or more"
        )
    answers = (prove if foreign.step is None else prove_step)(foreign, xs)
    notes += foreign.measured(xs)
    return Imported(path, foreign, xs, answers, notes, samples is None, frames)


def _samples(
    foreign: Foreign,
    given: Float32 | str | Path | None,
    sound: Heard,
    frames: Frames | None,
) -> tuple[Float32, str, tuple[str, ...]]:
    """(T, F), a note on them, "" if there is nothing to say, and the names of the features in
    their file, () if it has none.
    """
    features = foreign.network.features
    if frames is not None and (given is None or sound.pcm is not None):
        return *sound.samples(frames), ()
    if given is not None:
        xs, names = samples_of(given, features, foreign.inputs)
        return xs, "", names
    xs = made(features, foreign.counts)
    drawn = "whole numbers, all as often" if foreign.counts else "the standard normal distribution"
    note = (
        f"The samples are synthetic: {len(xs):,} steps of {drawn}. "
        "All figures are theirs. Give real ones by --samples"
    )
    return xs, note, ()
