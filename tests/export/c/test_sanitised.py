"""Generated C under the sanitizers of GCC and Clang: the self-test, and samples of any bits."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_lstm_export import export_c
from edge_lstm_runtime import load
from helpers.c_folder import (
    bundle_of,
    headers,
    listed_detector_bundle,
    masked_bundle,
    mixed_bundle,
    passed,
    quantiles_bundle,
    run,
    sources,
    timed_detector_bundle,
)
from helpers.derived import derived_bundle
from helpers.on_request import ON_REQUEST
from helpers.specs import one_layer_spec

pytestmark = pytest.mark.slow
SANITISED = "-O1 -g -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all"
PROGRAM = r"""
#include <stdio.h>
#include "model.h"
int main(void) {
    double sample[MODEL_CHANNELS];
    float answer[MODEL_OUTPUTS];
    if (model_init() != EL_OK) return 1;
    while (fread(sample, sizeof sample, 1, stdin) == 1) (void)model_step(sample, answer);
    return 0;
}
"""
KINDS: dict[str, Callable[[Path], Path]] = {
    "mask": masked_bundle,
    "mixed": mixed_bundle,
    "detector": timed_detector_bundle,
    "listed": listed_detector_bundle,
    "quantiles": quantiles_bundle,
    "transforms": derived_bundle,
    "gru": lambda path: bundle_of(one_layer_spec("gru"), path),
    "rnn": lambda path: bundle_of(one_layer_spec("rnn"), path),
}
FIRST = ("mixed", "listed", "transforms", "gru")  # have nearly all that the others have


def any_samples(channels: int) -> bytes:
    """Doubles of any bits, odd ones, and tame ones, (20000, channels)."""
    rng = np.random.default_rng(3)
    odd = [0.0, -0.0, np.nan, np.inf, -np.inf, 1e308, -1e308, 5e-324, 1e30, 2e11, -2e11, 4e11]
    raw = rng.integers(0, 256, (20000, channels, 8), np.uint8).view(np.float64)[..., 0]
    ways = rng.integers(0, 4, (20000, channels))
    tame = rng.normal(size=raw.shape) * 10.0 ** rng.integers(-3, 12, raw.shape)
    return np.choose(ways, [raw, rng.choice(odd, raw.shape), tame, tame]).tobytes()


@pytest.mark.parametrize("cc", ["gcc", pytest.param("clang", marks=ON_REQUEST)])
@pytest.mark.parametrize(
    "kind", [k if k in FIRST else pytest.param(k, marks=ON_REQUEST) for k in KINDS]
)
def test_self_test_and_any_samples(kind: str, cc: str, tmp_path: Path) -> None:
    if not shutil.which(cc) or not shutil.which("make"):
        pytest.skip(f"needs {cc} and make")
    bundle = KINDS[kind](tmp_path / "m.edge")
    samples = any_samples(load(bundle).spec.input_size)
    for scheme in ("float32", "int8"):
        made = export_c(bundle, tmp_path / scheme, scheme=scheme).folder
        passed(run("make", f"CC={cc}", f"CFLAGS={SANITISED}", "test", cwd=made))
        (made / "any.c").write_text(PROGRAM)
        program = made / "any"
        files = [made / "any.c", *sources(made), "-lm", "-o", program]
        built = run(cc, *SANITISED.split(), *headers(made), *files)
        assert built.returncode == 0, built.stderr
        done = subprocess.run(
            [program], input=samples, capture_output=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr.decode()[-3000:]
