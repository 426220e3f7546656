"""Step 5: what the quantiser sees: features of real training streams, with the states that really occur before them.

Half of the samples come from streams that start anew at each recording, half from one stream carried through all of them,
because a board does either.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from edge_lstm_runtime.backends.numpy import NumpyBackend
from edge_lstm_runtime.processing import features

from ..work import Work

SAMPLES = 256


def call(work: Work) -> Work:
    rng = np.random.default_rng(0)
    recordings = [features(work.spec, s.x)[0].astype(np.float32) for s in work.run.splits.train]
    order = rng.permutation(len(recordings))
    lengths = [len(recordings[n]) for n in order]
    total = sum(lengths)
    wanted = np.sort(rng.permutation(2 * total)[: min(SAMPLES, 2 * total)])  # positions in: all recordings anew, then all carried
    starts = set(np.cumsum([0, *lengths[:-1]]).tolist())
    backend = NumpyBackend(work.spec, work.weights)
    xs, hs, cs = [], [], []
    steps = (row for _ in range(2) for n in order for row in recordings[n])
    picks = iter(wanted.tolist())
    pick = next(picks)
    for position, row in enumerate(steps):
        if position == total or (position < total and position in starts):
            backend.reset()
        if position == pick:
            h, c = backend.state
            xs.append(row)
            hs.append(h)
            cs.append(c)
            pick = next(picks, -1)
        backend.step(row)
    return dataclasses.replace(work, calibration={"x": np.stack(xs), "h": np.stack(hs), "c": np.stack(cs)})
