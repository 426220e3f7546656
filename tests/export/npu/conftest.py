"""What the tests that put faults into the converter share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.faults import watched


@pytest.fixture
def tmp(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    yield from watched(tmp_path_factory.mktemp("TMPDIR"), monkeypatch)


@pytest.fixture
def model(random_model):
    return random_model(1, 16)
