"""Settings of the tests of the command."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def repeatable_stdout() -> Iterator[None]:
    yield
    sys.stdout.flush()
