"""Bundles in versions, a folder to install them into, and what is in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.bundles import make_bundle
from helpers.specs import make_spec

Make = Callable[..., Path]
SPEC = make_spec(channels=("temp", "load"), hidden=8)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """make(3) is version 3 of "room", in a file of its own."""

    def made(version: int, name: str = "room", seed: int | None = None, spec=SPEC) -> Path:
        path = tmp_path / f"{name}-{version}.edge"
        seed = version if seed is None else seed
        make_bundle(path, spec, seed=seed, model={"name": name, "version": version})
        return path

    return made


@pytest.fixture
def to(tmp_path: Path) -> Path:
    return tmp_path / "board" / "room"
