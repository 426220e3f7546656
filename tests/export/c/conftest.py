"""Models and exported folders for the tests of the C export."""

from __future__ import annotations

import shutil

import pytest

from edge_lstm_export import export_c
from edge_lstm_export.c import build, export
from helpers.c_folder import compile_kernel, masked_bundle


@pytest.fixture(scope="session")
def kernel(tmp_path_factory):
    return compile_kernel(tmp_path_factory.mktemp("kernel"))


@pytest.fixture(scope="session")
def mask(tmp_path_factory):
    return masked_bundle(tmp_path_factory.mktemp("mask") / "mask.edge")


@pytest.fixture(scope="session")
def motions(trained, tmp_path_factory):
    return export_c(trained, tmp_path_factory.mktemp("c") / "motions").folder


@pytest.fixture
def made(motions, tmp_path):
    return shutil.copytree(motions, tmp_path / "motions")


@pytest.fixture
def unbuilt(monkeypatch):
    """For tests of what an export writes: not what the source does."""
    monkeypatch.setattr(export, "build_and_run", lambda *_: build.Built("not run"))
