"""A run that the real compiler has exported."""

from __future__ import annotations

import pytest

from edge_lstm_runtime.cli import main


@pytest.fixture(scope="session")
def exported(regress_run, tmp_path_factory):
    """net.edge, with a model for ethos-u55-128 in a16w8. The first command of docs/ethos-u.md."""
    file = tmp_path_factory.mktemp("ethos-u") / "net.edge"
    asked = ["--target", "ethos-u55-128", "--scheme", "a16w8"]
    assert main(["export", str(regress_run.path), "-o", str(file), *asked]) == 0
    return file
