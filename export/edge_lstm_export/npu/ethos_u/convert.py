"""The conversion of one form, with its proof."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_lstm_runtime import ConversionError, compare

from ...work import Work
from ..converted import Job
from .compiled import Compiled
from .conversion import Conversion
from .targets import targets

PROVED = 100  # golden steps on the reference model; the tests do more
GOOD = {"a16w8": 2e-3}  # NRMSE of the form plain, as of float16; beyond it fine is taken


def convert(work: Work, job: Job, log_file: Path) -> Compiled:
    """Raises ConversionError too if our integers are not those of the reference model."""
    conversion = Conversion(
        work.spec,
        work.weights,
        work.calibration,
        targets()[job.target],
        job.scheme,
        job.form,
    )
    made = Compiled(conversion, say=work.say, log_file=log_file, batch=work.batch)
    try:
        prove(made, work.rows[:PROVED])
        limit = GOOD.get(job.scheme)
        if job.form == "plain" and limit is not None:
            length = int(work.lengths[0])
            outputs = made.integers().run(work.rows[:length])
            error = compare(outputs, work.reference[:length]).nrmse
            if error > limit:
                raise ConversionError(
                    f"NRMSE {error:.1e} over the first golden sequence, expected {limit:g} or less"
                )
    except BaseException:
        made.close()
        raise
    return made


def prove(made: Compiled, rows: np.ndarray) -> None:
    """The program on NumPy answers as TOSA's reference model, to the bit."""
    made.reset()
    expected = made.run(rows)
    ours = made.integers()
    found = ours.run(np.asarray(rows, np.float32))
    after = made.get_state()
    same = np.array_equal(found, expected)
    same = same and all(np.array_equal(a, after[name]) for name, a in ours.state.items())
    if not same:
        raise made.failure("and our integers differ: the program on NumPy gives other answers")
