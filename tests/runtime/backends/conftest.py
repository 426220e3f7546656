"""Bundles for the tests of the backends."""

from __future__ import annotations

import pytest

from edge_lstm_runtime import Bundle
from helpers.bundles import make_bundle
from helpers.rivals import SPEC


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Without model.onnx."""
    return make_bundle(tmp_path_factory.mktemp("plain") / "plain.edge", SPEC)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("full") / "full.edge", SPEC, form="fused")
