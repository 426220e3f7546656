"""A bundle for the tests of the format."""

from __future__ import annotations

import pytest

from helpers.broken_bundles import SMALL
from helpers.bundles import make_bundle


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("bundle") / "small.edge"
    make_bundle(path, SMALL, steps=2)
    return path.read_bytes()
