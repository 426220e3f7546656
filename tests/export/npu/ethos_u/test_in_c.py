"""The C export with a step for Ethos-U. A driver of the tests stands in the place of Arm's, and has
the answers of the integer program."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from edge_lstm_export import export_c
from edge_lstm_export.c.style import CStyle
from edge_lstm_runtime import Bundle
from edge_lstm_runtime.backends.registry import open_backend
from helpers.ethos_u import Board, Npu, library, raw
from helpers.tosa_recorded import FILES, Recorded

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
STYLE = CStyle(npu="ethos-u55-128")


def bundle_of(recorded: Recorded, folder: Path, **other: object) -> Bundle:
    return recorded.bundle(folder, {"a.npz": raw(recorded, **other)})


@pytest.fixture(scope="module", params=FILES)
def made(request, tmp_path_factory):
    """A bundle and its folder, with a prefix for one of them."""
    folder = tmp_path_factory.mktemp(request.param)
    prefix = {"gru": "model", "lstm": "gesture"}[request.param]
    bundle = bundle_of(Recorded(request.param), folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edge_lstm_export.c.export.build_and_run", lambda *_: None)
        style = dataclasses.replace(STYLE, prefix=prefix)
        export_c(bundle, folder / "c", style=style)
    return bundle, folder / "c", prefix


@pytest.fixture(scope="module")
def board(made, tmp_path_factory):
    bundle, folder, prefix = made
    built = library(folder, tmp_path_factory.mktemp("so") / "npu.so", prefix)
    return Board(built, Npu(bundle, "a.tosa"), bundle.spec, prefix)


def test_answers_are_the_integers_to_the_bit(made, board):
    bundle, _, _ = made
    samples = bundle.golden[0]
    expected = open_backend("tosa", bundle).run(bundle.spec.features(samples).astype(np.float32))
    on_cpu = board.run(samples)
    board.start()
    assert np.array_equal(board.run(samples), expected)
    board("reset")
    assert np.array_equal(board.run(samples), expected)
    assert float(np.ptp(expected)) > 0.1
    assert not np.array_equal(on_cpu, expected)
    beyond = samples[:3] * 1e4
    board("reset")
    limited = open_backend("tosa", bundle).run(beyond.astype(np.float32))
    assert np.array_equal(board.run(beyond), limited)
