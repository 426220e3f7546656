"""Step 1: the golden stream: real test samples, and the reference's outputs for them.

The recordings follow each other, and the state is carried over their borders, so that a thousand
steps really are carried. There are more steps if a chunk needs them to run twice, so that its own
state comes back to it.

A bidirectional model carries nothing, so each recording is a sequence of its own. If a converted
model is made, the sequences are pieces of exactly the length that it takes.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from edge_lstm import Sequence
from edge_lstm.data.recordings import shuffled
from edge_lstm_runtime import ConversionError
from edge_lstm_runtime.verify.golden import golden_features, run_sequences

from ..asked import CHUNKS
from ..npu.targets import by_vendor
from ..work import Float64, Work

STEPS = 1000


def golden_stream(test: list[Sequence], steps: int = STEPS) -> Float64:
    """(steps, C) raw units: the test recordings one after the other. If they are too few, they are
    repeated."""
    stream = np.concatenate([s.x for s in shuffled(test)])
    if len(stream) < steps:
        stream = np.tile(stream, (-(-steps // len(stream)), 1))
    return np.ascontiguousarray(stream[:steps])


def call(work: Work) -> Work:
    test = work.run.splits.test
    if work.spec.whole:
        recordings = [s.x for s in shuffled(test)]
        work = _with_length(work, [len(x) for x in recordings])
        sequences = _sequences(recordings, work.chunk)
    else:
        sequences = [golden_stream(test, max(STEPS, 2 * (work.chunk or 1)))]
    stream = np.concatenate(sequences)
    lengths = np.array([len(x) for x in sequences])
    outputs = run_sequences(work.exact(), golden_features(work.spec, stream, lengths), lengths)
    outputs = outputs.astype(np.float64)  # the reference of a graph may be in float32
    if not np.isfinite(outputs).all():
        raise ConversionError(
            "the reference's outputs are not finite on the test data; "
            + ("give other samples" if work.run.imported else "train the model again")
        )
    return dataclasses.replace(work, stream=stream, lengths=lengths, reference=outputs)


def _with_length(work: Work, found: list[int]) -> Work:
    """Sets `chunk` to the length of sequence that the converted models take.

    If there can be no such model, it is None, and a note says why.
    """
    if not work.schemes:
        return work
    shortest = min(found)
    longest = max(found)
    steps = work.chunk or longest
    if work.chunk is None and shortest < longest:
        why = (
            f"the test recordings have {shortest} to {longest} steps, "
            "and a converted model takes sequences of one length"
        )
    elif steps > longest:
        why = (
            f"the longest test recording has {longest} steps, "
            f"too few to check it with sequences of {steps}"
        )
    elif steps not in CHUNKS:
        why = (
            f"the test recordings have {steps} steps, "
            f"and a converted model takes {CHUNKS[0]} to {CHUNKS[-1]}"
        )
    else:
        return dataclasses.replace(work, chunk=steps)
    models = " or ".join(vendor.models for vendor, _ in by_vendor(work.schemes))
    note = (
        f"no {models} model for {' and '.join(work.schemes)} was made: {why}; "
        "choose a length by --chunk. NumPy and ONNX Runtime take any."
    )
    work.say(f"  {note}")
    return dataclasses.replace(work, chunk=None, schemes={}, notes=(*work.notes, note))


def _sequences(recordings: list[Float64], steps: int | None) -> list[Float64]:
    """Recordings until there are STEPS, the first STEPS of each. If `steps` is given: pieces of
    exactly that many."""
    chosen: list[Float64] = []
    for x in recordings:
        chosen += (
            [x[n : n + steps] for n in range(0, len(x) - steps + 1, steps)]
            if steps
            else [x[:STEPS]]
        )
        if sum(map(len, chosen)) >= STEPS:
            break
    return chosen
